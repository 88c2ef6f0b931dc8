package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Snapshot is a volume's content at one moment. Its file is never written again.
type Snapshot struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Volume is the id of the volume it was taken of, which may have been deleted since.
	Volume string `json:"volume"`
	// Size is the size the volume had.
	Size    int64     `json:"size"`
	Mode    Mode      `json:"mode"`
	Created time.Time `json:"created"`

	// Path is the file with the data.
	Path string `json:"-"`
}

// CreateSnapshot takes the snapshot called name of the volume at the time now: what the volume's disk
// would hold if the machine lost power at this moment. It takes no longer for a large volume than for a
// small one. A snapshot that exists under the name is overwritten, so ask Snapshot first.
func (p *Pool) CreateSnapshot(name, volumeID string, now time.Time) (Snapshot, error) {
	id := SnapshotID(name)
	volume, err := p.Volume(volumeID)
	if err != nil {
		return Snapshot{}, fmt.Errorf("create snapshot %s: %w", id, err)
	}
	path := p.snapshotPath(id)
	if err := reflink(volume.Path, path, 0o400, 0); err != nil {
		return Snapshot{}, fmt.Errorf("create snapshot %s: %w", id, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Snapshot{}, fmt.Errorf("create snapshot %s: %w", id, err)
	}
	s := Snapshot{ID: id, Name: name, Volume: volumeID, Size: info.Size(), Mode: volume.Mode, Created: now, Path: path}
	if err := writeRecord(p.snapshotRecord(id), s); err != nil {
		return Snapshot{}, fmt.Errorf("create snapshot %s: %w", id, err)
	}
	return s, nil
}

// Snapshot returns the snapshot with the id; the error wraps ErrNotFound if there is none.
func (p *Pool) Snapshot(id string) (Snapshot, error) {
	if !IsID(id) {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
	}
	var s Snapshot
	if err := readRecord(p.snapshotRecord(id), &s); err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", id, err)
	}
	s.Path = p.snapshotPath(id)
	return s, nil
}

// Snapshots returns all snapshots ordered by id. One that is deleted meanwhile is left out.
func (p *Pool) Snapshots() ([]Snapshot, error) {
	ids, err := listIDs(p.snapshots)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	snapshots := make([]Snapshot, 0, len(ids))
	for _, id := range ids {
		s, err := p.Snapshot(id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		snapshots = append(snapshots, s)
	}
	return snapshots, nil
}

// DeleteSnapshot removes the snapshot; volumes made from it stay. A snapshot that does not exist is
// not an error.
func (p *Pool) DeleteSnapshot(id string) error {
	if !IsID(id) {
		return nil
	}
	if err := remove(p.snapshots, id); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", id, err)
	}
	return nil
}

func (p *Pool) snapshotPath(id string) string   { return filepath.Join(p.snapshots, id+".img") }
func (p *Pool) snapshotRecord(id string) string { return filepath.Join(p.snapshots, id+".json") }
