package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

// fakeServer takes one secret, and has subscriptions.
type fakeServer struct {
	secret        string
	subscriptions string
}

func (f fakeServer) Do(context.Context, Call) (Reply, error) {
	return Reply{Status: 200, Body: json.RawMessage(`{"value":[{"tenantId":"t"}]}`)}, nil
}

func (f fakeServer) List(context.Context, string) ([]json.RawMessage, error) {
	var all []json.RawMessage
	return all, json.Unmarshal([]byte(f.subscriptions), &all)
}

func (f fakeServer) Each(ctx context.Context, path string, each func(json.RawMessage) error) error {
	all, err := f.List(ctx, path)
	for i := 0; i < len(all) && err == nil; i++ {
		err = each(all[i])
	}
	return err
}

func (f fakeServer) Token(context.Context) (profile.Token, error) {
	if f.secret != "right" {
		return profile.Token{}, errors.New("wrong")
	}
	return profile.Token{Text: "k", Expires: time.Unix(1_800_000_000, 0)}, nil
}

func TestTheSecretIsAskedForWhereThereIsAPerson(t *testing.T) {
	t.Setenv("COFFER_PROFILE", "")
	for _, tt := range []struct {
		name          string
		terminal      bool
		typed, piped  string
		typingFails   error
		subscriptions string
		code          int
		says          string
	}{
		{"typed", true, "right\n", "", nil, `[{"subscriptionId":"1"}]`, exitOK, "Client secret: \n"},
		{"typed wrong", true, "typo", "", nil, `[]`, exitFailed, "log in: wrong"},
		{"nothing typed", true, "", "right", nil, `[]`, exitUsage, "there is no client secret"},
		{"the terminal is gone", true, "", "", io.ErrUnexpectedEOF, `[]`, exitFailed, "read the client secret: unexpected EOF"},
		{"piped in", false, "", "right\n", nil, `[]`, exitOK, ""},
		{"far too much piped in", false, "", strings.Repeat("x", maxSecret+1), nil, `[]`, exitUsage, "too large"},
		{"several subscriptions", false, "", "right", nil, `[{"subscriptionId":"1","displayName":"First"},{"subscriptionId":"2"}]`, exitOK, "There are 2 subscriptions; First is taken."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			store := profile.Store{Dir: t.TempDir()}
			code := Run(t.Context(), Config{
				In: strings.NewReader(tt.piped), Out: &out, Err: &errs, Terminal: tt.terminal, Profiles: store,
				ReadSecretFunc: func() (string, error) { return tt.typed, tt.typingFails },
				ServerFunc:     func(p profile.Profile) (Server, error) { return fakeServer{p.ClientSecret, tt.subscriptions}, nil },
			}, []string{"login", "--url", "https://a", "--client-id", "me"})
			if code != tt.code || !strings.Contains(errs.String(), tt.says) {
				t.Errorf("exit code %d, %q; want %d, %q", code, errs.String(), tt.code, tt.says)
			}
			kept, err := store.Load(defaultProfile)
			if (err == nil) != (tt.code == exitOK) || err == nil && (kept.ClientSecret != "right" || kept.TenantID != "t") {
				t.Errorf("kept %+v, %v", kept, err)
			}
			if strings.Contains(out.String()+errs.String(), "right") {
				t.Errorf("the secret is shown: %s%s", out.String(), errs.String())
			}
		})
	}
}

func TestARefusalOfTheServerIsAFailure(t *testing.T) {
	var out, errs bytes.Buffer
	store := profile.Store{Dir: t.TempDir()}
	if err := store.Save(profile.Profile{Name: "a", URL: "https://a", ClientSecret: "s"}); err != nil {
		t.Fatal(err)
	}
	code := Run(t.Context(), Config{
		Out: &out, Err: &errs, Profiles: store,
		ServerFunc: func(profile.Profile) (Server, error) {
			return nil, &coffer.Error{Code: coffer.CodeConflict, Message: "in use", Hint: "stop it", Correlation: "1"}
		},
	}, []string{"rest", "GET", "/subscriptions", "--profile", "a"})
	if want := "coffer: in use\n  what to do: stop it\n  Conflict, correlation id 1\n"; code != exitFailed || errs.String() != want {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
}
