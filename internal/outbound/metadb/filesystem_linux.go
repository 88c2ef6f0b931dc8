package metadb

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// networkFileSystem is the name of the network file system that a folder lies on, or empty.
func networkFileSystem(folder string) (string, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return "", fmt.Errorf("its folder: %w", err)
	}
	return networkFileSystems(int64(stat.Type)), nil //nolint:unconvert // it is an int32 on some machines
}

// networkFileSystems names those whose locks or writes SQLite cannot rely on. FUSE is not among them: much of it is local.
func networkFileSystems(magic int64) string {
	// The numbers are 32 bits wide; where the field is an int32, some are negative.
	switch uint32(magic) { //nolint:gosec // cut on purpose
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "SMB"
	case unix.CEPH_SUPER_MAGIC:
		return "CephFS"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "AFS"
	case unix.CODA_SUPER_MAGIC:
		return "Coda"
	case unix.V9FS_MAGIC:
		return "9P"
	}
	return ""
}
