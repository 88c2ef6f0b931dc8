package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completion is what cobra asks for the values of a flag.
type completion = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// mustComplete gives a flag its completion. That the flag is there is a matter of the program's text.
func mustComplete(cmd *cobra.Command, flag string, values completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}

// completeTime is how long somebody who has pressed a key is kept waiting.
const completeTime = 5 * time.Second

func (p *program) completeProfiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, err := p.Profiles.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeFrom completes with the names of a collection of the server. It has no table to print errors to, and says nothing of them.
func (p *program) completeFrom(cmd *cobra.Command, path func(ctx context.Context, s session) (string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	s, err := p.server()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	at, err := path(ctx, s)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	all, err := s.List(ctx, at)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, text := range all {
		if one, err := decodeAs[completedView](text); err == nil {
			names = append(names, one.completed())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completedView has what things are called that can be completed.
type completedView struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	Properties  struct {
		RoleName    string `json:"roleName"`
		DisplayName string `json:"displayName"`
	} `json:"properties"`
}

func (v completedView) completed() string {
	switch {
	case v.Properties.RoleName != "":
		return v.Properties.RoleName
	case v.Properties.DisplayName != "":
		return v.Properties.DisplayName
	case v.DisplayName != "":
		return v.DisplayName
	}
	return v.Name
}

// flagOf is the value of a flag of the line that is being completed.
func flagOf(cmd *cobra.Command, name string) string {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// vaultOf is where the line that is being completed has its vault.
func vaultOf(cmd *cobra.Command) scopeFlags {
	return scopeFlags{group: flagOf(cmd, "resource-group"), vault: flagOf(cmd, "vault-name")}
}

func (p *program) completeSubscriptions(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(context.Context, session) (string, error) { return "/subscriptions", nil })
}

func (p *program) completeGroups(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		subscription, err := s.subscriptionID(ctx)
		return subscription + "/resourceGroups", err
	})
}

func (p *program) completeVaults(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		at := scopeFlags{group: flagOf(cmd, "resource-group")}
		if at.group == "" && s.profile.ResourceGroup == "" {
			subscription, err := s.subscriptionID(ctx)
			return subscription + "/" + vaultCollection, err
		}
		below, err := s.groupID(ctx, at)
		return below + "/" + vaultCollection, err
	})
}

// completeBelowVault completes with the names of a collection of the vault that the line names; path is where it is below that.
func (p *program) completeBelowVault(cmd *cobra.Command, path string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		vault, err := s.vaultID(ctx, vaultOf(cmd))
		return vault + path, err
	})
}

func (p *program) completePolicies(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeBelowVault(cmd, "/"+policyCollection)
}

func (p *program) completeRoles(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(context.Context, session) (string, error) { return "/" + definitionCollection, nil })
}

func (p *program) completePrincipals(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(context.Context, session) (string, error) { return principalCollection, nil })
}
