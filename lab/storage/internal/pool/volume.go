package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Mode is how a volume was meant to be used when it was created.
type Mode string

// The two volume modes, spelled as Kubernetes does.
const (
	Filesystem Mode = "Filesystem"
	Block      Mode = "Block"
)

// Source is what a volume's first content came from; at most one field is set, none for a blank volume.
type Source struct {
	Snapshot string `json:"snapshot,omitempty"`
	Volume   string `json:"volume,omitempty"`
}

// IsZero reports whether the volume began blank.
func (s Source) IsZero() bool { return s == Source{} }

// Volume is one volume of the pool.
type Volume struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Size is the length of the volume's file. The file is the truth; the figure in the record is for
	// people and is replaced on reading.
	Size    int64     `json:"size"`
	Mode    Mode      `json:"mode"`
	Source  Source    `json:"source,omitzero"`
	Created time.Time `json:"created"`

	// Path is the file with the data.
	Path string `json:"-"`
}

// CreateVolume makes the volume v.Name of v.Size bytes, filled from v.Source if there is one, and
// returns it. A volume that exists under the name is overwritten, so ask Volume first.
// The error wraps ErrNotFound if the source does not exist.
func (p *Pool) CreateVolume(v Volume) (Volume, error) {
	v.ID = VolumeID(v.Name)
	v.Path = p.volumePath(v.ID)
	var err error
	switch {
	case v.Source.Snapshot != "":
		err = p.fillFromSnapshot(v)
	case v.Source.Volume != "":
		err = p.fillFromVolume(v)
	default:
		err = newSparse(v.Path, v.Size)
	}
	if err != nil {
		return Volume{}, fmt.Errorf("create volume %s: %w", v.ID, err)
	}
	if err := writeRecord(p.volumeRecord(v.ID), v); err != nil {
		return Volume{}, fmt.Errorf("create volume %s: %w", v.ID, err)
	}
	return p.Volume(v.ID)
}

func (p *Pool) fillFromSnapshot(v Volume) error {
	snapshot, err := p.Snapshot(v.Source.Snapshot)
	if err != nil {
		return err
	}
	return reflink(snapshot.Path, v.Path, 0o600, v.Size)
}

func (p *Pool) fillFromVolume(v Volume) error {
	source, err := p.Volume(v.Source.Volume)
	if err != nil {
		return err
	}
	return reflink(source.Path, v.Path, 0o600, v.Size)
}

// Volume returns the volume with the id; the error wraps ErrNotFound if there is none.
func (p *Pool) Volume(id string) (Volume, error) {
	if !IsID(id) {
		return Volume{}, fmt.Errorf("volume %s: %w", id, ErrNotFound)
	}
	var v Volume
	if err := readRecord(p.volumeRecord(id), &v); err != nil {
		return Volume{}, fmt.Errorf("volume %s: %w", id, err)
	}
	v.Path = p.volumePath(id)
	info, err := os.Stat(v.Path)
	if err != nil {
		return Volume{}, fmt.Errorf("volume %s: %w", id, err)
	}
	v.Size = info.Size()
	return v, nil
}

// Volumes returns all volumes ordered by id. One that is deleted meanwhile is left out.
func (p *Pool) Volumes() ([]Volume, error) {
	ids, err := listIDs(p.volumes)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	volumes := make([]Volume, 0, len(ids))
	for _, id := range ids {
		v, err := p.Volume(id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		volumes = append(volumes, v)
	}
	return volumes, nil
}

// ExpandVolume makes the volume's file at least size bytes long and returns the volume.
func (p *Pool) ExpandVolume(id string, size int64) (Volume, error) {
	v, err := p.Volume(id)
	if err != nil {
		return Volume{}, err
	}
	if v.Size >= size {
		return v, nil
	}
	f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
	if err != nil {
		return Volume{}, fmt.Errorf("expand volume %s: %w", id, err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return Volume{}, fmt.Errorf("expand volume %s: %w", id, err)
	}
	if err := f.Sync(); err != nil {
		return Volume{}, fmt.Errorf("expand volume %s: %w", id, err)
	}
	v.Size = size
	if err := writeRecord(p.volumeRecord(id), v); err != nil {
		return Volume{}, fmt.Errorf("expand volume %s: %w", id, err)
	}
	return v, nil
}

// DeleteVolume removes the volume and what a killed attempt to make it left. Snapshots and clones of
// it stay as they are. A volume that does not exist is not an error.
func (p *Pool) DeleteVolume(id string) error {
	if !IsID(id) {
		return nil
	}
	if err := remove(p.volumes, id); err != nil {
		return fmt.Errorf("delete volume %s: %w", id, err)
	}
	return nil
}

// Path is where the data of the volume with the id is or would be; "" if id is not a volume id.
func (p *Pool) Path(id string) string {
	if !IsID(id) {
		return ""
	}
	return p.volumePath(id)
}

// Used is the number of bytes the volume's file occupies, shared blocks included. A volume that never
// was written occupies none.
func (v Volume) Used() (int64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(v.Path, &stat); err != nil {
		return 0, fmt.Errorf("volume %s: %w", v.ID, err)
	}
	return stat.Blocks * 512, nil
}

func (p *Pool) volumePath(id string) string   { return filepath.Join(p.volumes, id+".img") }
func (p *Pool) volumeRecord(id string) string { return filepath.Join(p.volumes, id+".json") }
