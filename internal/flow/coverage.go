package flow

import (
	"context"
	"errors"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// Coverage reads the ledger of a recovery point, and its signed manifest. What a restore would refuse is refused with the same
// error. One ledger is read at a time: it may have 64 MiB.
func (r *Reader) Coverage(ctx context.Context, location, name string) (coffer.Manifest, coffer.Coverage, error) {
	fail := func(err error) (coffer.Manifest, coffer.Coverage, error) {
		return coffer.Manifest{}, coffer.Coverage{}, err
	}
	if err := (ContentsRequest{StorageLocation: location, BackupName: name}).check(); err != nil {
		return fail(err)
	}
	select {
	case r.verifying <- struct{}{}:
		defer func() { <-r.verifying }()
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	p := newPoint(name, r.config.Namespace, "")
	defer p.close()
	if err := p.openLocation(ctx, r.config.Settings, location); err != nil {
		return fail(err)
	}
	if _, err := p.open(ctx); errors.Is(err, errOfVelero) {
		return fail(coffer.Errorf(coffer.CodeBackupNotFound, "there is no recovery point of Coffer's named %q in BackupStorageLocation %s, and backups of Velero's have no coverage", name, location))
	} else if err != nil {
		return fail(err)
	}
	if err := p.readKeys(ctx); err != nil {
		return fail(err)
	}
	blob, listed := recoverypoint.Blob(p.manifest, p.layout.Coverage())
	if !listed {
		return fail(p.refuse(p.layout.Coverage(), "the manifest does not list it"))
	}
	var ledger coffer.Coverage
	err := p.readBlob(ctx, blob, func(in io.Reader) (err error) {
		ledger, err = recoverypoint.ReadCoverage(in)
		return err
	})
	return p.manifest, ledger, err
}
