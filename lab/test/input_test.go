//go:build lab

package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestWrongInputIsOneClearError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	other := newLab(t, "x")
	longRoot := lab{root: filepath.Join(t.TempDir(), strings.Repeat("long", 20)), name: other.name}
	unnamed := lab{root: other.root, name: "No_Name"}
	reserved := lab{root: other.root, name: "services"}
	foreign := lab{root: other.root, name: shared.lab.name}
	tests := map[string]struct {
		lab   lab
		args  []string
		texts []string
	}{
		"a name twice":                {shared.lab, []string{"up"}, []string{"already up", "lab status", "lab down"}},
		"a name of another folder":    {foreign, []string{"up"}, []string{shared.lab.root, "--name"}},
		"down of another folder's":    {foreign, []string{"down"}, []string{shared.lab.root, "--root"}},
		"an unusable name":            {unnamed, []string{"up"}, []string{"No_Name", "a-z"}},
		"a port that is taken":        {other, []string{"up", "--api-port", port}, []string{port, "taken", "--api-port"}},
		"a port that is none":         {other, []string{"up", "--api-port", "70000"}, []string{"70000", "65535"}},
		"too little disk":             {other, []string{"up", "--min-disk", "900Ti"}, []string{"disk", "--min-disk"}},
		"too little memory":           {other, []string{"up", "--min-memory", "900Ti"}, []string{"memory", "--min-memory"}},
		"a size that is none":         {other, []string{"up", "--min-disk", "much"}, []string{"--min-disk", "much"}},
		"a folder with a long name":   {longRoot, []string{"up"}, []string{"long", "--root"}},
		"an unknown component, kill":  {shared.lab, []string{"kill", "kube-nothing"}, []string{"kube-nothing", "kube-apiserver"}},
		"an unknown component, start": {shared.lab, []string{"start", "kube-nothing"}, []string{"kube-nothing", "etcd"}},
		"a component that runs":       {shared.lab, []string{"start", "etcd"}, []string{"etcd", "already running"}},
		"a cluster that is not there": {other, []string{"status"}, []string{other.name, "lab up"}},
		"an unknown kind of image":    {other, []string{"image", "build", "cake", "-o", "cake.tar"}, []string{"cake", "toolbox"}},
		"a program with libraries":    {other, []string{"image", "build", "--binary", "/bin/ls", "--tag", "localhost/coffer/ls:1", "-o", "ls.tar"}, []string{"/bin/ls", "static"}},
		"an image without a name":     {other, []string{"image", "build", "toolbox", "--tag", "??", "-o", "x.tar"}, []string{"??"}},
		"a reserved name":             {reserved, []string{"up"}, []string{"services", "the lab itself"}},
		"no node":                     {other, []string{"up", "--nodes", "-1"}, []string{"-1", "--nodes"}},
		"too many nodes":              {other, []string{"up", "--nodes", "6"}, []string{"6", "1 to 5"}},
		"nodes without a runtime":     {other, []string{"up", "--nodes", "2", "--control-plane-only"}, []string{"2", "--nodes"}},
		"an unknown node":             {shared.lab, []string{"kill", "node-2"}, []string{"node-2", "node-1"}},
		"a node that runs":            {shared.lab, []string{"start", "node-1"}, []string{"already running"}},
		"an unknown service":          {other, []string{"service", "up", "s4"}, []string{"s4", "azurite"}},
		"an unknown service, down":    {other, []string{"service", "down", "s4"}, []string{"s4", "azurite"}},
		"no service":                  {other, []string{"service", "up"}, []string{"say which", "azurite"}},
		"a service that is not up":    {other, []string{"service", "kill", "s3"}, []string{"s3", "lab service up"}},
		"a service's missing program": {other, []string{"service", "up", "s3", "--bin-dir", t.TempDir()}, []string{"s3", "hack/build"}},
		"an unknown party":            {shared.lab, []string{"partition", shared.lab.name, "nobody"}, []string{"nobody", "services", "host"}},
		"a party of another folder":   {foreign, []string{"partition", foreign.name, "host"}, []string{foreign.name, foreign.root}},
		"one party":                   {shared.lab, []string{"partition", shared.lab.name}, []string{"two"}},
		"a party twice":               {shared.lab, []string{"partition", shared.lab.name, shared.lab.name}, []string{"itself"}},
		"a party that is not up":      {shared.lab, []string{"partition", shared.lab.name, "s3"}, []string{"s3", "lab service up"}},
		"healing one":                 {shared.lab, []string{"heal", "host"}, []string{"two", "none"}},
		"an unknown command":          {other, []string{"upp"}, []string{"upp"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test.lab.mustRefuse(t, test.texts, test.args...) })
	}
	entries, err := os.ReadDir(other.root)
	if err != nil || len(entries) > 0 {
		t.Errorf("a refused cluster left %v (%v)", entries, err)
	}
}

func TestAMissingProgramIsNamedWithItsPackage(t *testing.T) {
	l := newLab(t, "x")
	binaries := os.Getenv("COFFER_LAB_BIN")
	incomplete := t.TempDir()
	entries, err := os.ReadDir(binaries)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "csi-resizer" {
			if err := os.Symlink(filepath.Join(binaries, entry.Name()), filepath.Join(incomplete, entry.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.mustRefuse(t, []string{"csi-resizer", incomplete, "--bin-dir"}, "up", "--bin-dir", incomplete)

	out, err := l.upWithout("/dev/null", `$(command -v nft)`)
	if err == nil || !strings.Contains(out, "nft is missing: install it with `apt-get install nftables`") {
		t.Errorf("without nft: %v: %s", err, out)
	}
}

func TestAMissingKernelFeatureIsNamed(t *testing.T) {
	l := newLab(t, "x")
	before := mustRead(t, l)
	filesystems := filepath.Join(t.TempDir(), "filesystems")
	if err := os.WriteFile(filesystems, []byte("nodev\toverlay\n\text4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := l.upWithout(filesystems, "/proc/filesystems")
	if err == nil || !strings.Contains(out, "the kernel lacks the file system xfs: load it with `modprobe xfs`") {
		t.Errorf("without XFS: %v: %s", err, out)
	}
	out, err = l.upWithout("/dev/null", "/sys/fs/cgroup", "-t", "tmpfs")
	if err == nil || !strings.Contains(out, "control group") {
		t.Errorf("without control groups: %v: %s", err, out)
	}
	l.mustBeClean(t, before)
}

// upWithout runs "lab up" in a mount namespace of its own, where a path is covered by another (a bind mount) or, with
// options for mount, by something else.
func (l lab) upWithout(cover, path string, options ...string) (string, error) {
	if len(options) == 0 {
		options = []string{"--bind"}
	}
	up := l.command("up")
	mount := "mount " + strings.Join(options, " ") + " " + cover + ` "` + path + `" && exec "$@"`
	covered := exec.Command("unshare", "--mount", "sh", "-c", mount, "sh")
	covered.Args, covered.Env = append(append(covered.Args, up.Path), up.Args[1:]...), up.Env
	out, err := covered.CombinedOutput()
	return string(out), err
}
