package crds

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The copies must follow the module when its version is raised.
func TestFilesAreThoseOfTheClientModule(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "github.com/kubernetes-csi/external-snapshotter/client/v8").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	for _, kind := range []string{"classes", "contents", "s"} {
		name := "snapshot.storage.k8s.io_volumesnapshot" + kind + ".yaml"
		copied, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		origin, rest, _ := bytes.Cut(copied, []byte("\n"))
		if !strings.HasPrefix(string(origin), "# Origin: ") || !strings.Contains(string(origin), version) {
			t.Errorf("%s: the first line %q does not name version %s", name, origin, version)
		}
		original, err := os.ReadFile(filepath.Join(dir, "config", "crd", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rest, original) {
			t.Errorf("%s differs from the module's", name)
		}
	}
}
