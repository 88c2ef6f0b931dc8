package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

func TestExitCodes(t *testing.T) {
	t.Setenv("COFFER_PROFILE", "")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, exitOK, ""},
		{[]string{"backup", "list", "--nope"}, exitUsage, "unknown flag"},
		{[]string{"nope"}, exitUsage, "unknown command"},
		{[]string{"backup", "delete", "a"}, exitUsage, "--yes"},
		{[]string{"backup", "list"}, exitFailed, "no cluster to talk to: it is away"},
		{[]string{"vault", "list", "--context", "prod"}, exitUsage, "--context names a cluster"},
		{[]string{"vault", "list", "--query", "[?"}, exitUsage, "is not a JMESPath"},
		{[]string{"vault", "list", "-o", "tsv"}, exitUsage, "use table, json or yaml"},
		{[]string{"vault", "create", "-g", "a", "-v", "b"}, exitUsage, "--storage-setting"},
		{[]string{"vault", "update", "-g", "a", "-v", "b"}, exitUsage, "say what to change"},
		{[]string{"vault", "list"}, exitFailed, "you are not logged in"},
		{[]string{"vault", "list", "--profile", "no"}, exitFailed, "there is no profile no"},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), Config{
			Out: &out, Err: &errs, Profiles: profile.Store{Dir: t.TempDir()},
			ClientFunc: func(Target) (client.Client, error) { return nil, errors.New("it is away") },
		}, tt.args)
		if code != tt.code || !strings.Contains(errs.String(), tt.says) {
			t.Errorf("coffer %v: exit code %d, %q; want %d, %q", tt.args, code, errs.String(), tt.code, tt.says)
		}
	}
}

// TestFlagsNameTheirValuesByOneWord: what stands between backquotes in a flag's text is taken for the name of its value.
func TestFlagsNameTheirValuesByOneWord(t *testing.T) {
	flags := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			flags++
			if value, _ := pflag.UnquoteUsage(f); strings.Contains(value, " ") {
				t.Errorf("%s --%s names its value %q", cmd.CommandPath(), f.Name, value)
			}
		})
		for _, below := range cmd.Commands() {
			look(below)
		}
	}
	look(newRoot(Config{Profiles: profile.Store{Dir: t.TempDir()}}))
	if flags < 100 {
		t.Errorf("only %d flags were looked at", flags)
	}
}

// TestCommandsHaveExamples holds that whoever asks for help with what is done to vaults, policies, instances, recovery points, jobs and
// alerts is shown a line to begin with, and that the command of that line is one.
func TestCommandsHaveExamples(t *testing.T) {
	root := newRoot(Config{Profiles: profile.Store{Dir: t.TempDir()}})
	examples := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", "")) {
			words := strings.Fields(line)
			examples++
			found, rest, err := root.Find(words[1:])
			if err != nil || words[0] != "coffer" || found.HasSubCommands() && !found.HasParent() {
				t.Errorf("%s: the example %q: %v", cmd.CommandPath(), line, err)
				continue
			}
			for _, word := range rest {
				name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
				if strings.HasPrefix(word, "--") && found.Flag(name) == nil && found.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: the example %q: there is no flag --%s", cmd.CommandPath(), line, name)
				}
			}
		}
		for _, below := range cmd.Commands() {
			look(below)
		}
	}
	for _, name := range []string{"backup-vault", "backup-policy", "backup-instance", "recovery-point", "job", "alert", "resource-guard"} {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		look(cmd)
	}
	if examples < 40 {
		t.Errorf("only %d examples were looked at", examples)
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 3 << 50: "3072.0 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
}
