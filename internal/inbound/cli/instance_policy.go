package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// followedPolicy names the policy that a backup instance is to follow: by its name in the vault, or by its id.
type followedPolicy struct{ name, id string }

// bind defines the flags; what is for people: "backup policy of the vault".
func (f *followedPolicy) bind(p *program, cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.name, "policy-name", "", what)
	cmd.Flags().StringVar(&f.id, "policy-id", "", "the same by its id")
	cmd.Flags().SetNormalizeFunc(azNames) // az calls it --backup-policy-name in places.
	mustComplete(cmd, "policy-name", p.completePolicies)
}

// given says whether a policy is named. It refuses two.
func (f followedPolicy) given() (bool, error) {
	if f.name != "" && f.id != "" {
		return false, usageError{errors.New("give --policy-name or --policy-id, not both")}
	}
	return f.name != "" || f.id != "", nil
}

// of is the id of the policy, which is one of the vault if it is called by its name.
func (f followedPolicy) of(vault catalogue.ID) (string, error) {
	if f.id != "" {
		return f.id, nil
	}
	if err := checkSegment("policy-name", f.name); err != nil {
		return "", err
	}
	return string(vault) + "/" + policyCollection + "/" + f.name, nil
}
