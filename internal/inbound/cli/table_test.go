package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestATableFitsTheTerminal(t *testing.T) {
	rows := [][]string{
		{"ALERT", "KIND", "WHAT HAPPENED"},
		{"a1", "BackupFailed", "the backup of shop has failed: the storage location does not answer\x1b"},
		{"ä2", "BackupMissed", ""},
		{"a3", "BackupMissed", "short"},
	}
	for _, tt := range []struct {
		name  string
		width int
		want  string
	}{
		{"no terminal", 0, `
ALERT   KIND           WHAT HAPPENED
a1      BackupFailed   the backup of shop has failed: the storage location does not answer\x1b
ä2      BackupMissed   
a3      BackupMissed   short
`},
		{"room for all of it", 94, `
ALERT   KIND           WHAT HAPPENED
a1      BackupFailed   the backup of shop has failed: the storage location does not answer\x1b
ä2      BackupMissed   
a3      BackupMissed   short
`},
		{"room for a column", 60, `
ALERT   KIND           WHAT HAPPENED
a1      BackupFailed   the backup of shop has failed: the
                       storage location does not answer\x1b
ä2      BackupMissed
a3      BackupMissed   short
`},
		{"no room for a column", 50, `
ALERT   KIND
    WHAT HAPPENED
a1      BackupFailed
    the backup of shop has failed: the storage
    location does not answer\x1b
ä2      BackupMissed
a3      BackupMissed
    short
`},
	} {
		var out bytes.Buffer
		p := &program{Config: Config{Out: &out, Width: tt.width}}
		if err := p.table(rows); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + out.String(); got != tt.want {
			t.Errorf("%s:%s", tt.name, got)
		}
	}
	var out bytes.Buffer
	p := &program{Config: Config{Out: &out, Width: 10}}
	for name, rows := range map[string][][]string{
		"rows that are not alike": {{"a", strings.Repeat("b ", leastText)}, {"c"}}, "no texts": {{"NAME", "STATE"}, {"a-vault-of-a-name", "being deleted"}},
	} {
		out.Reset()
		if err := p.table(rows); err != nil || strings.Count(out.String(), "\n") != 2 {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}
