//go:build !linux

package main

import (
	"context"
	"errors"
)

var errLinux = errors.New("this measurement needs Linux")

func generator(context.Context, built) error { return errLinux }
func start(context.Context, built) error     { return errLinux }
func network(context.Context, built) error   { return errLinux }
func flood(context.Context, built) error     { return errLinux }
func faults(context.Context, built) error    { return errLinux }
func soak(context.Context, built) error      { return errLinux }
func short(context.Context, built) error     { return errLinux }
func printPings() error                      { return errLinux }
func printFlows() error                      { return errLinux }
func printOutside(_, _ string) error         { return errLinux }
func printOutside100(_, _ string) error      { return errLinux }
