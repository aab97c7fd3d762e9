package private

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// rootKeeps are the capabilities that root's commands keep: those of files and users, by which a server gives up being root, and raw
// sockets on the private network, without which a ping that has them by its file is not executed. They are Docker's default
// (https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities) without CAP_MKNOD.
var rootKeeps = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID,
	unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW, unix.CAP_SYS_CHROOT, unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP,
}

// confine takes from the processes that this thread starts what would reach beyond the private network, or change it: the
// capabilities, and what a program may gain by being executed, such as sudo. Root owns the kernel's files, and may write
// them without any capability: so they are read-only, but for the settings of the private network itself. With keep it takes
// only what this process was given for the network.
func confine(keep bool) error {
	root := os.Geteuid() == 0 && !keep
	if root && !ownUser() {
		if err := coverKernel(); err != nil {
			return fmt.Errorf("the kernel's files can't be kept from the command (%w): --keep-capabilities leaves them to it", err)
		}
	}
	if err := dropCapabilities(root); err != nil {
		return fmt.Errorf("capabilities can't be dropped: %w", err)
	}
	if keep {
		return nil
	}
	return wrap("no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

// ownUser tells whether this process has a user namespace as Run makes one, of a single user. Its root has no power
// over the kernel's files outside.
func ownUser() bool {
	text, _ := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return len(fields) == 3 && fields[2] == "1"
}

// coverKernel makes /proc's settings of the whole machine read-only, and /sys that of the private network.
func coverKernel() error {
	const hidden = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, of := range []string{"bus", "fs", "irq", "sys", "sysrq-trigger"} {
		path := "/proc/" + of
		err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, "")
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|hidden, "")
		}
		if err != nil {
			return wrap(path, err)
		}
	}
	// A network inside this one, which is a user's then, has settings of its own there.
	const own = "/proc/sys/net"
	if err := unix.Mount(own, own, "", unix.MS_BIND, ""); err != nil {
		return wrap(own, err)
	}
	if err := unix.Mount("", own, "", unix.MS_REMOUNT|unix.MS_BIND|hidden, ""); err != nil {
		return wrap(own, err)
	}
	groups, none := controlGroups()
	if none == nil {
		defer unix.Close(groups)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", hidden|unix.MS_RDONLY, ""); err != nil {
		return wrap("/sys", err)
	}
	if none == nil {
		return wrap("/sys/fs/cgroup", unix.MoveMount(groups, "", unix.AT_FDCWD, "/sys/fs/cgroup", unix.MOVE_MOUNT_F_EMPTY_PATH))
	}
	return nil
}

// controlGroups returns a read-only copy of what is mounted there, from which Go and other runtimes read the limits of their
// container. A kernel before Linux 5.12 gives none.
func controlGroups() (fd int, err error) {
	fd, err = unix.OpenTree(unix.AT_FDCWD, "/sys/fs/cgroup", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return 0, err
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// dropCapabilities keeps this thread's capabilities from the processes that it starts. Those of root have them all the
// same, or rootKeeps alone.
func dropCapabilities(root bool) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0 // and so the ambient ones
	if root {
		for c := 0; c <= unix.CAP_LAST_CAP; c++ {
			if slices.Contains(rootKeeps, c) {
				continue
			}
			bit := uint32(1) << (c % 32)
			if data[0].Effective&(1<<unix.CAP_SETPCAP) != 0 { // what root may have after an exec
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
					return err // EINVAL: the kernel does not have it
				}
			}
			data[c/32].Effective &^= bit
			data[c/32].Permitted &^= bit
		}
	}
	return unix.Capset(&head, &data[0])
}
