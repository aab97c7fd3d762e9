package private

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// refusal makes a sentence of a failed start.
func refusal(err error) error {
	reason := explain(err, func(name string) string {
		text, _ := os.ReadFile("/proc/sys/" + name)
		return strings.TrimSpace(string(text))
	})
	if reason == "" {
		return err
	}
	return &RefusedError{reason}
}

// explain says what refused a private network and what to do about it, or
// nothing where it was none of these. sysctl returns a setting, "" where the
// kernel has none.
func explain(err error, sysctl func(name string) string) string {
	switch {
	case errors.Is(err, unix.ENOSPC):
		for _, kind := range []string{"user", "net", "pid", "mnt"} {
			if name := "user.max_" + kind + "_namespaces"; sysctl(strings.ReplaceAll(name, ".", "/")) == "0" {
				return "this system allows no private networks (" + name + " is 0): " +
					"run it with sudo, or sudo sysctl " + name + "=10000"
			}
		}
		return "this system has too many namespaces already (the user.max_*_namespaces): end some, or raise the bounds with sudo sysctl"
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		return "this system lets no settings of a network be written (/proc/sys is read-only), as in most containers: " +
			"run it outside of the container, or give that --privileged"
	case errors.Is(err, unix.EPERM) && sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor allows no private networks to unprivileged programs (kernel.apparmor_restrict_unprivileged_userns is 1): " +
			"run it with sudo, or install the profile scripts/apparmor/gotimeout, or sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.Is(err, unix.EPERM) && sysctl("kernel/unprivileged_userns_clone") == "0":
		return "this kernel allows no private networks to unprivileged programs (kernel.unprivileged_userns_clone is 0): " +
			"run it with sudo, or sudo sysctl kernel.unprivileged_userns_clone=1"
	case errors.Is(err, unix.EPERM):
		return "this system refuses private networks, as the seccomp filter of a container and a chroot do: " +
			"run it outside of the container, or give that --security-opt seccomp=unconfined"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "this kernel has no namespaces for users or networks (CONFIG_USER_NS, CONFIG_NET_NS): run it on another one"
	}
	return ""
}
