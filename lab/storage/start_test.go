//go:build lab

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatCannotBeStartedSaysWhy(t *testing.T) {
	dir := newDir(t)
	running := startDriver(t, dir)
	mustRun(t, "mkfs.xfs", "-q", "-m", "reflink=0", "-d", "file,size=512m,name="+filepath.Join(dir, "plain.img"))
	plain := filepath.Join(dir, "plain")
	mustRun(t, "mkdir", plain)
	mustRun(t, "mount", "-o", "loop", plain+".img", plain)
	good := []string{"driver", "--driver-name", "x.csi.coffer.dev", "--node-id", "n", "--endpoint", "unix://" + dir + "/x.sock", "--pool", dir + "/pool"}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no command":                    {want: "usage:"},
		"an unknown command":            {args: []string{"drive"}, want: `unknown command "drive"`},
		"a stray argument":              {args: append(good[:len(good):len(good)], "stray"), want: `unexpected argument "stray"`},
		"a pool without reflinks":       {args: append(good[:len(good):len(good)], "--pool", plain), want: "no reflinks; use XFS made with -m reflink=1"},
		"a pool that is not there":      {args: append(good[:len(good):len(good)], "--pool", dir+"/nowhere"), want: dir + "/nowhere"},
		"an endpoint that is no socket": {args: append(good[:len(good):len(good)], "--endpoint", "tcp://:1"), want: "unix:///path/to.sock"},
		"a socket that is taken":        {args: append(good[:len(good):len(good)], "--endpoint", "unix://"+running.socket()), want: "another driver answers there"},
		"a provisioner without driver":  {args: []string{"provisioner"}, want: "--csi-address and --kubeconfig are required"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			// Should it start after all, it ends, and with exit code 0.
			ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
			defer cancel()
			if code := run(ctx, test.args, &stdout, &stderr); code == 0 {
				t.Error("exit code 0")
			}
			if !strings.Contains(stderr.String(), test.want) {
				t.Errorf("says %q, want %q", stderr.String(), test.want)
			}
		})
	}
}
