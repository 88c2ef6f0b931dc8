package charts

import (
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// `helm upgrade --reuse-values` takes the values that the release before it was made of, with its chart's defaults: what is new has none.
func TestAReleaseFromBeforeThereWereLinksIsUpgradedWithItsValues(t *testing.T) {
	for _, tt := range []struct {
		folder, fresh string
		given         map[string]any
	}{
		{ExtensionFolder, "connector", map[string]any{}},
		{ExtensionFolder, "connector", map[string]any{"connector": map[string]any{"enabled": true}}},
		{serverChart, "link", map[string]any{}},
	} {
		loaded, err := loader.Load(tt.folder)
		if err != nil {
			t.Fatal(err)
		}
		if loaded.Values[tt.fresh] == nil {
			t.Fatalf("%s has no values %s", tt.folder, tt.fresh)
		}
		delete(loaded.Values, tt.fresh)
		all, err := util.ToRenderValues(loaded, tt.given, common.ReleaseOptions{Name: "rel", Namespace: "ns", IsUpgrade: true}, common.DefaultCapabilities)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Render(loaded, all); err != nil {
			t.Errorf("%s with %v: %v", tt.folder, tt.given, err)
		}
	}
}
