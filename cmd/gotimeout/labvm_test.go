//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The Vagrantfile forwards the lab's port and runs scripts/provision, and scripts/netem takes
// the commands that the docs name.
func TestLabVM(t *testing.T) {
	vm := rootFile(t, "Vagrantfile")
	for _, want := range []string{`guest: 8000, host: 8000`, `path: "scripts/provision"`} {
		if !strings.Contains(vm, want) {
			t.Errorf("Vagrantfile has no %s", want)
		}
	}
	if out, err := exec.Command("../../scripts/netem", "add", "100ms", "no-such-link").CombinedOutput(); err == nil || !strings.Contains(string(out), `no network device "no-such-link"`) {
		t.Errorf("scripts/netem add 100ms no-such-link: %v, %s", err, out)
	}
}

// The lab VM takes the backports from the mirror in the machine's own sources, in either
// format of sources.
func TestProvisionBackports(t *testing.T) {
	const key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY865UxYJ\n"
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"lines": {
			map[string]string{"sources.list": "# deb http://no/debian bookworm main\ndeb-src http://no/debian bookworm main\ndeb cdrom:[Debian 12]/ bookworm main\ndeb http://mirror.lan/debian-security bookworm-security main\ndeb  http://mirror.lan/debian\tbookworm  main contrib # ours\n"},
			"deb http://mirror.lan/debian bookworm-backports main\n",
		},
		"options": {
			map[string]string{"sources.list": "", "sources.list.d/debian.list": "deb [arch=amd64 signed-by=/etc/key.gpg] https://mirror.lan/debian bookworm non-free main\n"},
			"deb [arch=amd64 signed-by=/etc/key.gpg] https://mirror.lan/debian bookworm-backports main\n",
		},
		"stanzas": {
			map[string]string{"sources.list.d/debian.sources": "# ours\nTypes: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\nTypes: deb\nURIs: http://no/security\nSuites: bookworm-security\nComponents: main\n"},
			"Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
		},
		"the second stanza": {
			map[string]string{"sources.list.d/debian.sources": "Types: deb\nURIs: http://no/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n\ntypes: deb\nURIs: http://mirror.lan/debian\nsuites:\n bookworm\n bookworm-updates\nComponents: contrib\n main\n" + key},
			"Types: deb\nURIs: http://mirror.lan/debian\nSuites: bookworm-backports\nComponents: main\n" + key,
		},
		"none": {
			map[string]string{"sources.list": "deb http://no/debian trixie main\n"},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := exec.Command("../../scripts/provision", "backports", dir).Output()
			if string(got) != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%v\n%s\nwant\n%s", err, got, test.want)
			}
		})
	}
}
