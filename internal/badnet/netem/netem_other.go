//go:build !linux

package netem

import (
	"fmt"
	"runtime"

	"gotimeout/internal/badnet"
)

// Netem is the driver that Linux has.
type Netem struct{ badnet.Driver }

// Open returns an error.
func Open(string) (*Netem, error) { return nil, errSystem() }

// Set returns an error.
func Set(string, badnet.Link, bool) ([]string, error) { return nil, errSystem() }

// Reset returns an error.
func Reset(string) ([]string, error) { return nil, errSystem() }

// List returns an error.
func List() ([]Root, error) { return nil, errSystem() }

// CarriesDefaultRoute returns an error.
func CarriesDefaultRoute(string) (bool, error) { return false, errSystem() }

func errSystem() error {
	return fmt.Errorf("netem is in the kernel of Linux, and this is %s: run gotimeout in the lab VM", runtime.GOOS)
}
