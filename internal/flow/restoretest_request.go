package flow

import (
	"regexp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// TestReportRequest names the report of a restore test.
type TestReportRequest struct {
	StorageLocation, BackupName string
	// Run is the UID of the RestoreTest.
	Run string
	// Encrypted says that it is stored encrypted, as its key ends with.
	Encrypted bool
}

var runUID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// check refuses what cannot be the name of anything: these become keys of blobs.
func (q TestReportRequest) check() error {
	if err := (ContentsRequest{StorageLocation: q.StorageLocation, BackupName: q.BackupName}).check(); err != nil {
		return err
	}
	if !runUID.MatchString(q.Run) {
		return coffer.Errorf(coffer.CodeInvalid, "%q is not the UID of a RestoreTest", q.Run)
	}
	return nil
}
