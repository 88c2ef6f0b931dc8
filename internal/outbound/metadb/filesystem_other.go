//go:build !linux

package metadb

// networkFileSystem does not know on this system.
func networkFileSystem(string) (string, error) { return "", nil }
