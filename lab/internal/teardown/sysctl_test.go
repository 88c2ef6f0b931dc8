package teardown

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestOfManyRecordsAtOnceTheFirstCounts(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "record.json")
	if err := writeOnce(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := writeOnce(path, fmt.Appendf(nil, "another, %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if content, err := os.ReadFile(path); err != nil || string(content) != "first" {
		t.Errorf("the record is %q, %v", content, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
}
