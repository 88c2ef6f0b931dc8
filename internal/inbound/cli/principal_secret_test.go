package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

// issuingServer makes secrets for its one service principal.
type issuingServer struct{ fakeServer }

func (issuingServer) Do(context.Context, Call) (Reply, error) {
	return Reply{Status: 201, Body: json.RawMessage(`{"keyId":"k","secretText":"only-once"}`)}, nil
}

func (issuingServer) List(context.Context, string) ([]json.RawMessage, error) {
	return []json.RawMessage{json.RawMessage(`{"id":"/providers/Coffer.Backup/servicePrincipals/c","name":"c"}`)}, nil
}

// full is a disk that is.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestASecretIsNotLostWithTheOutput(t *testing.T) {
	for name, tt := range map[string]struct {
		out  io.Writer
		args []string
	}{
		"a query that cannot be answered": {&bytes.Buffer{}, []string{"--query", "abs(clientSecret)"}},
		"a disk that is full":             {full{}, []string{"-o", "json"}},
	} {
		var errs bytes.Buffer
		store := profile.Store{Dir: t.TempDir()}
		if err := store.Save(profile.Profile{Name: "a", URL: "https://a", ClientSecret: "s"}); err != nil {
			t.Fatal(err)
		}
		code := Run(t.Context(), Config{
			Out: tt.out, Err: &errs, Profiles: store, ServerFunc: func(profile.Profile) (Server, error) { return issuingServer{}, nil },
		}, append([]string{"service-principal", "reset-secret", "--id", "c", "--profile", "a"}, tt.args...))
		if code != exitFailed || !strings.Contains(errs.String(), "only-once") {
			t.Errorf("%s: exit code %d, %q", name, code, errs.String())
		}
	}
}
