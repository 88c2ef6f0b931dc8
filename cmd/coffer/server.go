package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/coffer-backup/coffer/internal/inbound/cli"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
	"github.com/coffer-backup/coffer/internal/outbound/vaultapi"
)

// profiles are in COFFER_CONFIG_DIR, or where this system keeps configurations.
func profiles() profile.Store {
	dir := os.Getenv("COFFER_CONFIG_DIR")
	if dir == "" {
		if all, err := os.UserConfigDir(); err == nil {
			dir = filepath.Join(all, "coffer")
		}
	}
	return profile.Store{Dir: dir}
}

func readSecret() (string, error) {
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	return string(text), err
}

// server lets the command line call a server of Backup vaults.
type server struct{ client *vaultapi.Client }

func newServer(p profile.Profile) (cli.Server, error) {
	config := vaultapi.Config{
		URL: p.URL, CA: []byte(p.CA), Tenant: p.TenantID, ClientID: p.ClientID, ClientSecret: p.ClientSecret, Version: version,
	}
	if p.Token != nil {
		config.Token = vaultapi.Token(*p.Token)
	}
	client, err := vaultapi.New(config)
	if err != nil {
		return nil, err
	}
	return server{client}, nil
}

// Do implements cli.Server.
func (s server) Do(ctx context.Context, c cli.Call) (cli.Reply, error) {
	reply, err := s.client.Do(ctx, vaultapi.Call(c))
	return cli.Reply(reply), err
}

// List implements cli.Server.
func (s server) List(ctx context.Context, path string) ([]json.RawMessage, error) {
	return s.client.List(ctx, path)
}

// Each implements cli.Server.
func (s server) Each(ctx context.Context, path string, each func(json.RawMessage) error) error {
	return s.client.Each(ctx, path, each)
}

// Token implements cli.Server.
func (s server) Token(ctx context.Context) (profile.Token, error) {
	token, err := s.client.Token(ctx)
	return profile.Token(token), err
}
