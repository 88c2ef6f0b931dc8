package vault

import (
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// azurePairs are Azure's regions that have a paired one, by their names in code, as https://learn.microsoft.com/azure/reliability/regions-list has them
// (March 2025), and for China and the US government https://learn.microsoft.com/azure/reliability/cross-region-replication-azure (December 2022). Not all go both
// ways, and regions that are left out have none: US Gov Texas is what two others name, and neither page says which of them it names.
var azurePairs = map[string]string{
	"australiacentral": "australiacentral2", "australiacentral2": "australiacentral",
	"australiaeast": "australiasoutheast", "australiasoutheast": "australiaeast",
	"brazilsouth": "southcentralus", "brazilsoutheast": "brazilsouth",
	"canadacentral": "canadaeast", "canadaeast": "canadacentral",
	"centralindia": "southindia", "southindia": "centralindia", "westindia": "southindia",
	"centralus": "eastus2", "eastus2": "centralus",
	"chinaeast": "chinanorth", "chinanorth": "chinaeast",
	"chinaeast2": "chinanorth2", "chinanorth2": "chinaeast2",
	"chinaeast3": "chinanorth3", "chinanorth3": "chinaeast3",
	"eastasia": "southeastasia", "southeastasia": "eastasia",
	"eastus": "westus", "westus": "eastus", "westus3": "eastus",
	"francecentral": "francesouth", "francesouth": "francecentral",
	"germanynorth": "germanywestcentral", "germanywestcentral": "germanynorth",
	"japaneast": "japanwest", "japanwest": "japaneast",
	"koreacentral": "koreasouth", "koreasouth": "koreacentral",
	"northcentralus": "southcentralus", "southcentralus": "northcentralus",
	"northeurope": "westeurope", "westeurope": "northeurope",
	"norwayeast": "norwaywest", "norwaywest": "norwayeast",
	"southafricanorth": "southafricawest", "southafricawest": "southafricanorth",
	"swedencentral": "swedensouth", "swedensouth": "swedencentral",
	"switzerlandnorth": "switzerlandwest", "switzerlandwest": "switzerlandnorth",
	"uaecentral": "uaenorth", "uaenorth": "uaecentral",
	"uksouth": "ukwest", "ukwest": "uksouth",
	"usdodcentral": "usdodeast", "usdodeast": "usdodcentral",
	"usgovarizona": "usgovtexas", "usgovvirginia": "usgovtexas",
	"westcentralus": "westus2", "westus2": "westcentralus",
}

// Pairs are paired regions of one's own, which go before Azure's. The zero value is Azure's alone.
type Pairs map[string]string

// ParsePairs reads pairs, each REGION=REGION. A pair goes both ways, unless another one says with what its second region is paired.
func ParsePairs(texts []string) (Pairs, error) {
	pairs, back := Pairs{}, Pairs{}
	for _, text := range texts {
		first, second, _ := strings.Cut(text, "=")
		first, second = Location(first), Location(second)
		if !locationForm.MatchString(first) || !locationForm.MatchString(second) || first == second {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "%.130q is no pair of regions", text).
				WithHint("write REGION=REGION, each in letters, digits and hyphens, such as frankfurt=berlin")
		}
		if was := pairs[first]; was != "" && was != second {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "the region %s is paired with %s and with %s", first, was, second).WithHint("name one")
		}
		pairs[first] = second
		if back[second] == "" {
			back[second] = first
		}
	}
	for region, paired := range back {
		if pairs[region] == "" {
			pairs[region] = paired
		}
	}
	return pairs, nil
}

// Of is the region that a region is paired with; empty is none.
func (p Pairs) Of(region string) string {
	if paired := p[Location(region)]; paired != "" {
		return paired
	}
	return azurePairs[Location(region)]
}

// Beyond says why a recovery point of a tier cannot be restored to a cluster of a region, and what to do; both are empty where it can. Those of the
// operational tier stay in the vault's region. Those of the vault tier are in the paired one too, if the vault is GeoRedundant and allows to restore there.
func (s Settings) Beyond(region string, tier arm.Word, p Pairs) (why, remedy string) {
	region = Location(region)
	paired, here := p.Of(s.Location), "choose a cluster in "+s.Location
	why = "the vault is in " + s.Location
	switch {
	case region == Location(s.Location):
		return "", ""
	case paired == "":
		return why + ", which is paired with no region that this server knows of",
			here + "; or have the administrator name its pair: coffer-server --region-pairs " + s.Location + "=REGION"
	case region != paired:
		return why + ", which is paired with " + paired, here + ", or, with cross-region restore, in " + paired
	case s.Redundancy != arm.GeoRedundant:
		return why + " and " + string(s.Redundancy) + ": nothing of it is in " + paired,
			here + "; or create a vault whose storageSettings have type GeoRedundant, with crossRegionRestoreSettings Enabled"
	case s.CrossRegion != arm.StateEnabled:
		return why + ", and its cross-region restore is Disabled",
			"set featureSettings.crossRegionRestoreSettings.state of the vault to Enabled, or " + here
	case tier != arm.VaultStore:
		return why + ", where recovery points of the " + string(arm.OperationalStore) + " stay",
			"restore from the " + string(arm.VaultStore) + ", or " + here
	}
	return "", ""
}
