package driver

import (
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

const (
	mebibyte = int64(1) << 20
	gibibyte = int64(1) << 30
	// defaultSize is the size of a volume for which none was asked.
	defaultSize = gibibyte
	// maxSize is the largest ext4 of 4 KiB blocks; files of the pool could be larger.
	maxSize = 16 << 40
	// sizeUnit is what sizes are rounded up to.
	sizeUnit = mebibyte
	// minBlock is the smallest volume; mkfs.ext4 and mkfs.xfs refuse devices below theirs.
	minBlock = mebibyte
	minExt4  = 16 * mebibyte
	minXFS   = 300 * mebibyte
	// defaultFS is the filesystem of a volume for which none was asked. XFS grows while mounted also where
	// CAP_SYS_RESOURCE is withheld, ext4 does not.
	defaultFS = mount.XFS
)

// use is what a request's volume capabilities ask for.
type use struct {
	mode   pool.Mode
	fsType string
}

// useOf reads the capabilities of a request, which must agree on the volume mode. The error is a reason
// for a person.
func useOf(capabilities []*csi.VolumeCapability) (use, error) {
	var asked use
	for _, capability := range capabilities {
		one, err := useOfOne(capability)
		if err != nil {
			return use{}, err
		}
		if asked.mode != "" && one != asked {
			return use{}, fmt.Errorf("the volume capabilities differ in volume mode or filesystem")
		}
		asked = one
	}
	return asked, nil
}

func useOfOne(capability *csi.VolumeCapability) (use, error) {
	switch mode := capability.GetAccessMode().GetMode(); mode {
	case csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
		csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY:
	default:
		return use{}, fmt.Errorf("access mode %s is not supported: volumes are written on one node at a time", mode)
	}
	if capability.GetBlock() != nil {
		return use{mode: pool.Block}, nil
	}
	if capability.GetMount() == nil {
		return use{}, fmt.Errorf("the volume capability is neither mount nor block")
	}
	fsType := capability.GetMount().GetFsType()
	if fsType == "" {
		return use{mode: pool.Filesystem}, nil
	}
	if !mount.Supported(fsType) {
		return use{}, fmt.Errorf("filesystem %q is not supported, only %s and %s", fsType, mount.XFS, mount.Ext4)
	}
	return use{mode: pool.Filesystem, fsType: fsType}, nil
}

// format is the filesystem to make on a blank volume.
func (u use) format() string {
	if u.fsType == "" {
		return defaultFS
	}
	return u.fsType
}

// minimum is the smallest volume that can be used this way.
func (u use) minimum() int64 {
	switch {
	case u.mode == pool.Block:
		return minBlock
	case u.format() == mount.XFS:
		return minXFS
	default:
		return minExt4
	}
}

// sizeError says that a wanted size cannot be had.
type sizeError string

func (e sizeError) Error() string { return string(e) }

// sizeFor is the size of a new volume: what was asked, rounded up, and no less than minimum. Without a
// wish it is fallback.
func sizeFor(asked *csi.CapacityRange, minimum, fallback int64) (int64, error) {
	required, limit := asked.GetRequiredBytes(), asked.GetLimitBytes()
	if required < 0 || limit < 0 {
		return 0, sizeError("a size must not be negative")
	}
	if required > maxSize {
		return 0, sizeError(fmt.Sprintf("%d bytes are more than the %d a volume can have", required, int64(maxSize)))
	}
	size := required
	if size == 0 {
		size = fallback
		if limit > 0 {
			size = min(size, limit)
		}
	}
	size = max(size, minimum)
	size = (size + sizeUnit - 1) / sizeUnit * sizeUnit
	if limit > 0 && size > limit {
		return 0, sizeError(fmt.Sprintf("the limit of %d bytes is below the %d bytes the volume needs", limit, size))
	}
	return size, nil
}

// fits reports whether an existing volume of the size satisfies the range.
func fits(size int64, asked *csi.CapacityRange) bool {
	limit := asked.GetLimitBytes()
	return size >= asked.GetRequiredBytes() && (limit == 0 || size <= limit)
}
