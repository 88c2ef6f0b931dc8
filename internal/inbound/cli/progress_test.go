package cli

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func TestProgressInOneLine(t *testing.T) {
	left := &metav1.Duration{Duration: 12 * time.Second}
	for _, tt := range []struct {
		name       string
		progress   v1alpha1.BackupProgress
		line, read string
	}{
		{"nothing yet", v1alpha1.BackupProgress{}, "", ""},
		{
			"under way", v1alpha1.BackupProgress{Objects: 900, Bytes: 1 << 20, ObjectsListed: 1000, ObjectsExpected: 13000, ObjectsPerSecond: 1000, TimeLeft: left},
			"900 objects, 1.0 MiB; 1000 of about 13000 read, 1000/s; about 12s left", "1000 objects of about 13000, 1000/s, about 12s left",
		},
		{
			"done, with volumes", v1alpha1.BackupProgress{Objects: 900, Bytes: 1 << 20, ObjectsListed: 1000, ObjectsExpected: 1000, ObjectsPerSecond: 500, VolumesTotal: 2, VolumesCut: 2, VolumesReady: 1},
			"volumes 2 cut, 1 ready of 2; 900 objects, 1.0 MiB", "1000 objects, 500/s",
		},
		{
			"what came of an extension that does not say", v1alpha1.BackupProgress{Objects: 900, Bytes: 1 << 20},
			"900 objects, 1.0 MiB", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := backupProgress(tt.progress); got != tt.line {
				t.Errorf("the line is %q, want %q", got, tt.line)
			}
			if got := readText(tt.progress); got != tt.read {
				t.Errorf("what was read is %q, want %q", got, tt.read)
			}
		})
	}
}
