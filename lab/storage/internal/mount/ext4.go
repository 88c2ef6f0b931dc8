package mount

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// Offsets in the ext4 superblock, which begins 1024 bytes into the device.
const (
	superblockOffset   = 1024
	superblockLength   = 1024
	blocksLowOffset    = 4
	logBlockSizeOffset = 24
	blocksHighOffset   = 336
	featuresOffset     = 96
	feature64Bit       = 0x80
)

// ext4Size is the number of bytes the ext4 filesystem on r was made for, and the size of its blocks.
func ext4Size(r io.ReaderAt) (size, block int64, err error) {
	superblock := make([]byte, superblockLength)
	if _, err := r.ReadAt(superblock, superblockOffset); err != nil {
		return 0, 0, fmt.Errorf("read ext4 superblock: %w", err)
	}
	blocks := int64(binary.LittleEndian.Uint32(superblock[blocksLowOffset:]))
	if binary.LittleEndian.Uint32(superblock[featuresOffset:])&feature64Bit != 0 {
		blocks |= int64(binary.LittleEndian.Uint32(superblock[blocksHighOffset:])) << 32
	}
	block = 1024 << binary.LittleEndian.Uint32(superblock[logBlockSizeOffset:])
	return blocks * block, block, nil
}

// ext4Fills reports whether the filesystem on the device leaves less than a block of it unused.
func ext4Fills(device string) (bool, error) {
	f, err := os.Open(device)
	if err != nil {
		return false, fmt.Errorf("size of filesystem on %s: %w", device, err)
	}
	defer f.Close()
	size, block, err := ext4Size(f)
	if err != nil {
		return false, fmt.Errorf("size of filesystem on %s: %w", device, err)
	}
	total, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, fmt.Errorf("size of %s: %w", device, err)
	}
	return total-size < block, nil
}
