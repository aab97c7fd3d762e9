package jobs

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// bytesLeft returns how many bytes of the disk of a directory are free for this user.
func bytesLeft(dir string) (left uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	err = windows.GetDiskFreeSpaceEx(name, &left, nil, nil)
	return left, err
}

// lock opens a file that no other process can open, until unlock is called or the process ends.
func lock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const shared = 0
	file, err := syscall.CreateFile(name, syscall.GENERIC_WRITE, shared, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, err
	}
	return func() { _ = syscall.CloseHandle(file) }, nil
}
