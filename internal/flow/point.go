package flow

import (
	"context"
	"errors"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/velero"
)

// point is a recovery point that is read: one of Coffer's, or a backup of Velero's. Nothing of it is believed that was not
// verified, and both who restores it and who looks into it go by the same rules.
//
//	openLocation -> open -> readKeys -> readIndex or scanIndex -> openArchive -> members
//	                   \ errOfVelero -> openVelero -> streamVelero
type point struct {
	name string
	// namespace is the extension's own, where people put Secrets.
	namespace string
	// consequence is what a refusal says of what was not done because of it; may be empty.
	consequence string

	location Location
	layout   recoverypoint.Layout
	manifest coffer.Manifest
	// index is there after readIndex.
	index archive.Index

	// keys are those of the location, if the recovery point is encrypted, and random then reads parts of its archive.
	keys   encryption.Keys
	random *encryption.Random
}

func newPoint(name, namespace, consequence string) point {
	return point{name: name, namespace: namespace, consequence: consequence, layout: recoverypoint.LayoutOf(name)}
}

// openLocation opens the location that the recovery point lies in, once.
func (p *point) openLocation(ctx context.Context, settings Settings, name string) error {
	if p.location.Container != nil {
		return nil
	}
	location, err := settings.Location(ctx, name)
	if err != nil {
		return err
	}
	p.location = location
	return nil
}

func (p *point) close() {
	if p.location.Close != nil {
		p.location.Close()
	}
}

// errOfVelero says that a container of Velero's has no recovery point of Coffer's under the name.
var errOfVelero = errors.New("there may be a backup of Velero's")

// open reads the manifest, which a trusted signer has to have signed, and answers its digest.
func (p *point) open(ctx context.Context) (digest string, err error) {
	if p.location.Velero {
		_, err := p.location.Container.Stat(ctx, p.layout.Manifest())
		if errors.Is(err, coffer.ErrBlobNotFound) {
			return "", errOfVelero
		}
		if err != nil {
			return "", err
		}
	}
	manifest, digest, err := readManifest(ctx, p.location, p.name)
	if coffer.CodeOf(err) == coffer.CodeBackupNotFound && !p.location.Velero {
		return "", p.hintAtVelero(ctx, err)
	}
	if err != nil {
		return "", err
	}
	p.manifest, p.layout = manifest, recoverypoint.LayoutFor(manifest)
	return digest, nil
}

// hintAtVelero says what to do if what is missing is there as a backup of Velero's.
func (p *point) hintAtVelero(ctx context.Context, missing error) error {
	if _, err := p.location.Container.Stat(ctx, p.layout.VeleroBackup()); err != nil {
		return missing
	}
	return coffer.Errorf(coffer.CodeBackupNotFound, "%s in BackupStorageLocation %s was made by Velero", p.name, p.location.Name).
		WithHint("register the container as Velero's with `coffer velero import`, and restore from there")
}

// openVelero reads what Velero says of its backup, and writes that to sum. Nothing vouches for it, so that an administrator
// must have said that it may be believed.
func (p *point) openVelero(ctx context.Context, sum io.Writer) (velero.Backup, error) {
	data, err := getAll(ctx, p.location.Container, p.layout.VeleroBackup(), velero.MaxBackupSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return velero.Backup{}, coffer.Errorf(coffer.CodeBackupNotFound, "there is no backup named %q in BackupStorageLocation %s", p.name, p.location.Name).
			WithHint("see `coffer velero list --storage-location %s`", p.location.Name)
	}
	if err != nil {
		return velero.Backup{}, err
	}
	backup, err := velero.DecodeBackup(p.name, data)
	if err != nil {
		return velero.Backup{}, err
	}
	if err := backup.Check(); err != nil {
		return velero.Backup{}, err
	}
	if !p.location.TrustUnsigned {
		return velero.Backup{}, coffer.Errorf(coffer.CodeSignerNotTrusted,
			"%s was made by Velero, which signs nothing: whoever can write to the container decides what is restored, and which snapshots", p.name).
			WithHint("if only those whom you trust can: `coffer velero import %s --trust-unsigned`", p.location.Name)
	}
	_, err = sum.Write(data)
	return backup, err
}
