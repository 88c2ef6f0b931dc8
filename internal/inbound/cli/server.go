package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/jmespath-community/go-jmespath/pkg/api"
	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

// Server is a server of Backup vaults, to somebody who is logged in there. What it refuses is a *coffer.Error with its code.
type Server interface {
	// Do makes one request.
	Do(ctx context.Context, c Call) (Reply, error)
	// List is all of a collection, page by page.
	List(ctx context.Context, path string) ([]json.RawMessage, error)
	// Each calls each for every item of a collection, holding a page at a time. Errors of each end it, and are returned.
	Each(ctx context.Context, path string, each func(item json.RawMessage) error) error
	// Token is one that opens the server's API.
	Token(ctx context.Context) (profile.Token, error)
}

// Call is one request.
type Call struct {
	// Method is HTTP's, and Path begins with a slash; it may have a query.
	Method, Path string
	// Header is added, and Body is JSON; both may be nil.
	Header http.Header
	Body   []byte
	// Follow waits for the end of what the request begins. Progress is told the state now and then until then.
	Follow   bool
	Progress func(state string)
}

// Reply is what came of a Call.
type Reply struct {
	Status int
	// Body is JSON, or nil.
	Body json.RawMessage
	// Operation is where a long-running operation is followed that was not waited for.
	Operation string
}

// serverFlags are those of every command on a server.
type serverFlags struct {
	profile, subscription, query string
	// compiled is the query, once it is known to be one.
	compiled api.JMESPath
}

// onServer makes a command, with all below it, one that talks to a server: it has the flags for that, and none for clusters.
func (p *program) onServer(cmd *cobra.Command) *cobra.Command {
	p.bindServer(cmd)
	// Flags for clusters would do nothing here. Those of these names hide them, and -n is free for a name.
	var none string
	flags := cmd.PersistentFlags()
	clusterFlags := []string{"kubeconfig", "context", "namespace"}
	for _, name := range clusterFlags {
		flags.StringVar(&none, name, "", "")
		_ = flags.MarkHidden(name) // It is there.
	}
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range clusterFlags {
			if cmd.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s names a cluster, but `%s` talks to a server of Backup vaults; name one with --profile", name, cmd.CommandPath())}
			}
		}
		return p.checkServerFlags()
	}
	return cmd
}

// onBoth makes a command one that talks to a server and to a cluster: it has the flags for both.
func (p *program) onBoth(cmd *cobra.Command) *cobra.Command {
	p.bindServer(cmd)
	// Without its letter, -n is free for a name, as it is for other commands on a server.
	cmd.PersistentFlags().StringVar(&p.target.Namespace, "namespace", v1alpha1.DefaultNamespace, "namespace of the Backup extension")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return p.checkServerFlags() }
	return cmd
}

func (p *program) bindServer(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&p.flags.profile, "profile", "", "login to use (default COFFER_PROFILE, or the one that was chosen with profile use)")
	flags.StringVar(&p.flags.subscription, "subscription", "", "subscription, by its id or name (default the profile's)")
	flags.StringVar(&p.flags.query, "query", "", "JMESPath of what to print of the result")
	mustComplete(cmd, "profile", p.completeProfiles)
	mustComplete(cmd, "subscription", p.completeSubscriptions)
}

func (p *program) checkServerFlags() error {
	if err := p.checkOutput(); err != nil {
		return err
	}
	return p.compileQuery()
}

// profileName is the profile that a command is to use, or empty.
func (p *program) profileName() (string, error) {
	if p.flags.profile != "" {
		return p.flags.profile, nil
	}
	if name := os.Getenv("COFFER_PROFILE"); name != "" {
		return name, nil
	}
	return p.Profiles.Current()
}

// chosenProfile is the profile that a command is to use.
func (p *program) chosenProfile() (profile.Profile, error) {
	name, err := p.profileName()
	if err != nil {
		return profile.Profile{}, err
	}
	if name == "" {
		names, err := p.Profiles.Names()
		switch {
		case err != nil:
			return profile.Profile{}, err
		case len(names) > 0:
			return profile.Profile{}, errors.New("no profile is chosen; choose one with `coffer profile use NAME`, or name it with --profile")
		}
		return profile.Profile{}, errors.New("you are not logged in to a server; log in with `coffer login`")
	}
	found, err := p.Profiles.Load(name)
	if errors.Is(err, profile.ErrNone) {
		err = fmt.Errorf("%w; see `coffer profile list`, or log in with `coffer login --profile %s`", err, name)
	}
	return found, err
}

// session is a profile, and the server that it is of.
type session struct {
	Server
	profile profile.Profile
	// subscription is the one that the command line names, or empty.
	subscription string
}

// server is the server of the chosen profile.
func (p *program) server() (session, error) {
	chosen, err := p.chosenProfile()
	if err != nil {
		return session{}, err
	}
	if !chosen.LoggedIn() {
		return session{}, fmt.Errorf("profile %s is logged out; log in with `coffer login --profile %s`", chosen.Name, chosen.Name)
	}
	s, err := p.ServerFunc(chosen)
	return session{s, chosen, p.flags.subscription}, err
}
