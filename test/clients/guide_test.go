package clients

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

var hclBlock = regexp.MustCompile("(?s)```hcl\n(.*?)```")

func TestTheConfigurationOfTheGuideCanBeRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "terraform.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := hclBlock.FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("the guide has %d configurations: the provider's, and that of a backup", len(blocks))
	}
	resources := map[string]hcl.Body{}
	for _, block := range blocks {
		file, problems := hclparse.NewParser().ParseHCL(block[1], "terraform.md")
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		for _, b := range file.Body.(*hclsyntax.Body).Blocks {
			if b.Type == "resource" {
				resources[b.Labels[0]] = b.Body
			}
			if b.Type == "locals" {
				id, problems := b.Body.Attributes["cluster_id"].Expr.Value(nil)
				if problems.HasErrors() {
					t.Fatal(problems)
				}
				if _, err := commonids.ParseKubernetesClusterID(id.AsString()); err != nil {
					t.Error(err)
				}
			}
		}
	}
	for _, kind := range []string{
		"azurerm_resource_group", "azurerm_data_protection_backup_vault", "azurerm_data_protection_backup_policy_kubernetes_cluster",
		"azurerm_kubernetes_cluster_trusted_access_role_binding", "azurerm_kubernetes_cluster_extension", "azurerm_data_protection_backup_instance_kubernetes_cluster",
	} {
		if resources[kind] == nil {
			t.Errorf("there is no %s", kind)
		}
	}
}
