package cli

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

func (p *program) newSubscription() *cobra.Command {
	return p.onServer(group("subscription", "List, show and make the subscriptions of a server",
		p.newSubscriptionList(), p.newSubscriptionShow(), p.newSubscriptionCreate()))
}

// subscriptionView is a subscription as the server shows it.
type subscriptionView struct {
	ID             catalogue.ID `json:"id"`
	SubscriptionID string       `json:"subscriptionId"`
	DisplayName    string       `json:"displayName"`
	State          string       `json:"state"`
	TenantID       string       `json:"tenantId"`
}

func subscriptionNoun() noun {
	return noun{
		name: "subscription", create: "coffer subscription create",
		fields: func(text json.RawMessage) ([]field, error) {
			v, err := decodeAs[subscriptionView](text)
			return []field{
				{"Name", v.DisplayName}, {"Subscription", v.SubscriptionID}, {"State", v.State}, {"Tenant", v.TenantID}, {"ID", string(v.ID)},
			}, err
		},
		heading: []string{"NAME", "SUBSCRIPTION", "STATE"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[subscriptionView](text)
			return []string{v.DisplayName, v.SubscriptionID, v.State}, err
		},
	}
}

func (p *program) newSubscriptionList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the subscriptions that you may see", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, subscriptionNoun(), "/subscriptions")
		},
	}
}

func (p *program) newSubscriptionShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the subscription that commands are about", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			id, err := s.subscriptionID(cmd.Context())
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, subscriptionNoun(), id)
		},
	}
}

func (p *program) newSubscriptionCreate() *cobra.Command {
	var name, id string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a subscription: resource groups that are governed together", Args: noArgs,
		Example: "  coffer subscription create --display-name Production",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case name == "":
				return usageError{errors.New("name the subscription with --display-name")}
			case id == "":
				id = uuid.NewString()
			case !catalogue.GUID(id):
				return usageError{errors.New("--id is not a GUID; leave it out for a new one")}
			}
			s, err := p.server()
			if err != nil {
				return err
			}
			return p.write(cmd.Context(), s, subscriptionNoun(), write{
				method: http.MethodPut, id: "/subscriptions/" + id, body: map[string]any{"displayName": name}, doing: "create subscription " + name,
			})
		},
	}
	cmd.Flags().StringVar(&name, "display-name", "", "what people call it")
	cmd.Flags().StringVar(&id, "id", "", "GUID of it (default a new one)")
	return cmd
}
