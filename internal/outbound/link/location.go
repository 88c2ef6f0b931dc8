package link

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

var _ catalogue.Configurable = (*session)(nil)

// Location implements catalogue.Configurable.
func (s *session) Location(ctx context.Context) (catalogue.FoundLocation, error) {
	return s.location(ctx, http.MethodGet, http.NoBody)
}

// SetLocation implements catalogue.Configurable.
func (s *session) SetLocation(ctx context.Context, wanted catalogue.StorageLocation) (catalogue.FoundLocation, error) {
	text, err := json.Marshal(wire.Location(wanted))
	if err != nil {
		return catalogue.FoundLocation{}, err
	}
	return s.location(ctx, http.MethodPut, bytes.NewReader(text))
}

// location asks about the cluster's storage location.
func (s *session) location(ctx context.Context, method string, body io.Reader) (found catalogue.FoundLocation, err error) {
	const what = "a question about its storage location"
	r, err := http.NewRequestWithContext(ctx, method, "http://cluster"+wire.LocationPath, body)
	if err != nil {
		return found, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := carrier{s, wire.Header{Kind: wire.Settings}}.RoundTrip(r)
	if err != nil {
		return found, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxMessage))
	if err != nil {
		return found, s.failed(err)
	}
	if answer.StatusCode != http.StatusOK {
		return found, s.refused(answer.StatusCode, text, what, coffer.CodeForbidden)
	}
	var said wire.LocationStatus
	if err := json.Unmarshal(text, &said); err != nil {
		return found, notReachable(s.cluster, "what its connector answers to "+what+" is no answer")
	}
	clean := func(text string) string { return wire.Clean(text, maxNote) }
	return catalogue.FoundLocation{
		StorageLocation: catalogue.StorageLocation{
			Provider: clean(said.Location.Provider), Container: clean(said.Location.Container), StorageAccount: clean(said.Location.StorageAccount), Endpoint: clean(said.Location.Endpoint),
		},
		Phase: clean(said.Phase), Message: clean(said.Message), Changed: said.Changed,
	}, nil
}

// refused is why a connector has not done what it was asked to: of which kind that is, is for us to say.
func (s *session) refused(status int, text []byte, what string, code coffer.Code) error {
	var p wire.Problem
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return notReachable(s.cluster, fmt.Sprintf("its connector answered %d to %s", status, what))
	}
	if !p.Final && p.Code != string(code) {
		code = coffer.CodeClusterNotReachable
	}
	err := coffer.Errorf(code, "cluster %s: %s", s.cluster.Name(), wire.Clean(p.Message, maxNote))
	err.Hint, err.Transient = wire.Clean(p.Hint, maxNote), code == coffer.CodeClusterNotReachable
	return err
}
