//go:build !linux

package main

import "errors"

const asFarmNode = "GOTIMEOUT_TEST_AS_FARM_NODE"

func farmNode() error { return errors.ErrUnsupported }
