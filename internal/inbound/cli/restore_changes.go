package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// restoreChanges are the flags that say what a restore makes of the objects.
type restoreChanges struct {
	modifiers                      string
	classes                        map[string]string
	nodePorts                      bool
	includedStatus, excludedStatus []string
}

func (c *restoreChanges) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.modifiers, "resource-modifier-reference", "", "ConfigMap with resource modifiers, NAMESPACE/NAME")
	flags.StringToStringVar(&c.classes, "storage-class-mappings", nil, "give claims another storage class: OLD=NEW,...")
	flags.BoolVar(&c.nodePorts, "preserve-node-ports", false, "keep all node ports of Services (default: those that a user chose)")
	flags.StringSliceVar(&c.includedStatus, "restore-status-included-types", nil, "types of objects whose status is restored: apps/Deployment, *.acme.io, * (default none)")
	flags.StringSliceVar(&c.excludedStatus, "restore-status-excluded-types", nil, "restore the status of all other types")
}

func (c *restoreChanges) into(spec *v1alpha1.RestoreSpec) error {
	if c.modifiers != "" {
		refs, err := parseReferences("--resource-modifier-reference", []string{c.modifiers})
		if err != nil {
			return err
		}
		spec.ResourceModifierReference = &refs[0]
	}
	for from, to := range c.classes {
		if to == "" {
			return usageError{fmt.Errorf("--storage-class-mappings: write OLD=NEW; %q is mapped to nothing", from)}
		}
		if spec.StorageClassMappings == nil {
			spec.StorageClassMappings = map[string]v1alpha1.StorageClassName{}
		}
		spec.StorageClassMappings[from] = v1alpha1.StorageClassName(to)
	}
	spec.PreserveNodePorts = c.nodePorts
	if len(c.includedStatus)+len(c.excludedStatus) > 0 {
		spec.RestoreStatus = &v1alpha1.StatusSelection{IncludedTypes: c.includedStatus, ExcludedTypes: c.excludedStatus}
	}
	return nil
}
