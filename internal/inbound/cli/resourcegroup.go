package cli

import (
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

func (p *program) newResourceGroup() *cobra.Command {
	cmd := group("resource-group", "Make, show, list and delete resource groups of a server",
		p.newGroupCreate(), p.newGroupShow(), p.newGroupList(), p.newGroupDelete())
	cmd.Aliases = []string{"group"}
	return p.onServer(cmd)
}

func groupNoun() noun {
	return noun{
		name: "resource group", create: "coffer resource-group create",
		fields: func(text json.RawMessage) ([]field, error) {
			v, err := decodeAs[groupView](text)
			return []field{
				{"Name", v.Name}, {"Location", v.Location}, {"Tags", tagsText(v.Tags)}, {"State", v.Properties.State}, {"ID", string(v.ID)},
			}, err
		},
		heading: []string{"NAME", "LOCATION", "STATE"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[groupView](text)
			return []string{v.Name, v.Location, v.Properties.State}, err
		},
	}
}

// groupView is a resource group as the server shows it.
type groupView struct {
	ID         catalogue.ID       `json:"id"`
	Name       string             `json:"name"`
	Location   string             `json:"location"`
	Tags       map[string]*string `json:"tags"`
	Properties struct {
		State string `json:"provisioningState"`
	} `json:"properties"`
}

// bindNamed binds the flags of az's group commands, where --name is what is --resource-group elsewhere.
func (f *scopeFlags) bindNamed(p *program, cmd *cobra.Command) {
	f.bindGroup(p, cmd)
	cmd.Flags().StringVarP(&f.group, "name", "n", "", "the same as --resource-group")
	mustComplete(cmd, "name", p.completeGroups)
}

func (p *program) newGroupCreate() *cobra.Command {
	var at scopeFlags
	var location string
	var tags []string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a resource group", Args: noArgs,
		Example: "  coffer resource-group create -n shop -l westeurope",
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := parseTags(tags, false)
			if err != nil {
				return err
			}
			s, id, err := p.atGroup(cmd.Context(), at)
			if err != nil {
				return err
			}
			if location == "" {
				location = s.profile.Location
			}
			body := map[string]any{"location": location, "tags": parsed}
			return p.write(cmd.Context(), s, groupNoun(), write{method: http.MethodPut, id: id, body: body, doing: "create resource group " + catalogue.ID(id).Name()})
		},
	}
	at.bindNamed(p, cmd)
	cmd.Flags().StringVarP(&location, "location", "l", "", "region (default the profile's)")
	cmd.Flags().StringSliceVar(&tags, "tags", nil, "tags KEY=VALUE, separated by commas")
	return cmd
}

func (p *program) newGroupShow() *cobra.Command {
	var at scopeFlags
	cmd := p.newShow("Show a resource group", groupNoun(), located(p.atGroup, &at))
	at.bindNamed(p, cmd)
	return cmd
}

func (p *program) newGroupList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the resource groups of the subscription", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			subscription, err := s.subscriptionID(cmd.Context())
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, groupNoun(), subscription+"/resourceGroups")
		},
	}
}

func (p *program) newGroupDelete() *cobra.Command {
	var at scopeFlags
	var yes, noWait bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete a resource group that holds nothing", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atGroup(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.remove(cmd.Context(), s, groupNoun(), id, yes, noWait)
		},
	}
	at.bindNamed(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	bindNoWait(cmd, &noWait)
	return cmd
}
