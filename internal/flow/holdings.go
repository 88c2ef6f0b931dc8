package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// Archive is what lies in a container under the name of a recovery point of Coffer's, whole or not.
type Archive struct {
	Name string
	// Sealed says that its manifest is there.
	Sealed bool
	// Blobs and Bytes are how much there is, and Modified is when the last of them was stored.
	Blobs    int
	Bytes    int64
	Modified time.Time
	// Backup is the Backup object of that name and location; nil if there is none.
	Backup *BackupRun
}

// BackupRun is a Backup object.
type BackupRun struct {
	UID, Vault string
	Final      bool
}

// HoldingsTo are told what there is; each may take its time, and its errors end the reading.
type HoldingsTo struct {
	// Location is told first whether this cluster may delete there.
	Location func(readOnly bool) error
	// Snapshots are those that a Backup has cut whose object is gone.
	Snapshots func(coffer.RunSnapshots) error
	Archive   func(Archive) error
}

// vaultLabel says on a run object which vault has made it.
const vaultLabel = v1alpha1.Group + "/vault"

// Holdings tells of all archives in a storage location, in the order of their names, and of snapshots that nobody will remove. It takes a list of
// the container, of the Backup objects and of the VolumeSnapshotContents each, and holds some 100 bytes of each Backup object. Snapshots are
// listed before the Backup objects, and those before the archives: what is made meanwhile by a run that is under way has its Backup object, or has none
// and its vault knows of the job.
func (r *Reader) Holdings(ctx context.Context, location string, to HoldingsTo) error {
	if problems := validation.IsDNS1123Subdomain(location); len(problems) > 0 {
		return coffer.Errorf(coffer.CodeInvalid, "%q cannot be the name of a storage location: %s", location, problems[0])
	}
	cut, err := r.config.Snapshots.Cuts(ctx)
	if err != nil && coffer.CodeOf(err) != coffer.CodeSnapshotAPIUnavailable {
		return err
	}
	backups, runs, err := r.backups(ctx, location)
	if err != nil {
		return err
	}
	l, err := r.config.Settings.Location(ctx, location)
	if err != nil {
		return err
	}
	if l.Close != nil {
		defer l.Close()
	}
	readOnly, err := r.readOnly(ctx, l)
	if err == nil {
		err = to.Location(readOnly)
	}
	if err != nil {
		return err
	}
	for _, s := range cut {
		if runs[s.Run] {
			continue
		}
		if err := to.Snapshots(s); err != nil {
			return err
		}
	}
	return eachArchive(ctx, l.Container, func(a Archive) error {
		if b, ok := backups[a.Name]; ok {
			a.Backup = &b
		}
		return to.Archive(a)
	})
}

// backups are the Backup objects that write to a location, by name, and the UIDs of all.
func (r *Reader) backups(ctx context.Context, location string) (found map[string]BackupRun, runs map[string]bool, err error) {
	found, runs = map[string]BackupRun{}, map[string]bool{}
	err = r.config.Cluster.List(ctx, ownType("backups", "Backup"), r.config.Namespace, func(page coffer.Page) error {
		for _, raw := range page.Items {
			var o struct {
				Metadata struct {
					Name   string            `json:"name"`
					UID    string            `json:"uid"`
					Labels map[string]string `json:"labels"`
				} `json:"metadata"`
				Spec struct {
					StorageLocation string `json:"storageLocation"`
				} `json:"spec"`
				Status struct {
					Phase v1alpha1.RunPhase `json:"phase"`
				} `json:"status"`
			}
			if err := json.Unmarshal(raw, &o); err != nil {
				return fmt.Errorf("read Backups: %w", err)
			}
			runs[o.Metadata.UID] = true
			if o.Spec.StorageLocation == location {
				found[o.Metadata.Name] = BackupRun{UID: o.Metadata.UID, Vault: o.Metadata.Labels[vaultLabel], Final: o.Status.Phase.Final()}
			}
		}
		return nil
	})
	return found, runs, err
}

// readOnly says whether this cluster may delete in a location: another one may write there.
func (r *Reader) readOnly(ctx context.Context, l Location) (bool, error) {
	if l.ReadOnly {
		return true, nil
	}
	owner, err := OwnerOf(ctx, l.Container)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	cluster, err := r.config.clusterUID(ctx)
	return owner.Cluster != cluster, err
}

// eachArchive calls each for all that is Coffer's in a container, in the order of names: of Velero's own backups there is neither a claim nor a manifest.
func eachArchive(ctx context.Context, c coffer.Container, each func(Archive) error) error {
	var now Archive
	var ours bool
	end := func() error {
		if !ours {
			return nil
		}
		return each(now)
	}
	for info, err := range c.List(ctx, recoverypoint.Root) {
		if err != nil {
			return err
		}
		name, _, inFolder := strings.Cut(strings.TrimPrefix(info.Key, recoverypoint.Root), "/")
		if !inFolder {
			continue
		}
		if name != now.Name {
			if err := end(); err != nil {
				return err
			}
			now, ours = Archive{Name: name}, false
		}
		layout := recoverypoint.LayoutOf(name)
		now.Sealed = now.Sealed || info.Key == layout.Manifest()
		ours = ours || info.Key == layout.Manifest() || info.Key == layout.Claim()
		now.Blobs++
		now.Bytes += info.Size
		if info.Modified.After(now.Modified) {
			now.Modified = info.Modified
		}
	}
	return end()
}
