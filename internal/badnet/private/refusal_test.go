//go:build linux

package private

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		sysctls map[string]string
		want    []string
	}{
		"no user namespaces": {unix.ENOSPC, map[string]string{"user/max_user_namespaces": "0"},
			[]string{"user.max_user_namespaces is 0", "sudo sysctl user.max_user_namespaces=10000"}},
		"no network namespaces": {unix.ENOSPC, map[string]string{"user/max_user_namespaces": "9", "user/max_net_namespaces": "0"},
			[]string{"user.max_net_namespaces is 0"}},
		"too many": {unix.ENOSPC, nil, []string{"too many namespaces"}},
		"AppArmor": {unix.EPERM, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"},
			[]string{"AppArmor", "scripts/apparmor/gotimeout", "sudo"}},
		"Debian's old setting": {unix.EPERM, map[string]string{"kernel/unprivileged_userns_clone": "0"},
			[]string{"kernel.unprivileged_userns_clone=1"}},
		"a container":         {unix.EPERM, nil, []string{"seccomp", "--security-opt"}},
		"a container's /proc": {unix.EROFS, nil, []string{"/proc/sys", "--privileged"}},
		"no support":          {unix.EINVAL, nil, []string{"CONFIG_USER_NS"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := explain(&os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: test.err}, func(name string) string { return test.sysctls[name] })
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q lacks %q", got, want)
				}
			}
			if strings.Contains(got, "\n") || strings.HasSuffix(got, ".") {
				t.Errorf("%q is not written as an error's text", got)
			}
		})
	}
	if got := explain(errors.New("disk on fire"), func(string) string { return "" }); got != "" {
		t.Errorf("%q", got)
	}
}
