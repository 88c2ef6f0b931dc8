package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

const typeLocation = "Microsoft.DataProtection/locations"

// locationRoutes are the questions that clients ask of a region.
func (s *Server) locationRoutes() []route {
	return []route{
		{
			method: http.MethodPost, kind: typeLocation + "/checkNameAvailability", on: onRest, below: []string{typeLocation},
			action: typeLocation + "/checkNameAvailability/action", handle: s.checkName,
		},
		{
			method: http.MethodPost, kind: typeLocation + "/checkFeatureSupport", on: onRest, below: []string{typeLocation},
			action: typeLocation + "/checkFeatureSupport/action", handle: s.checkFeature,
		},
	}
}

type nameAnswer struct {
	NameAvailable bool   `json:"nameAvailable"`
	Reason        string `json:"reason,omitempty"`
	Message       string `json:"message,omitempty"`
}

// checkName says whether a vault of a name can be made in the resource group of the path.
func (s *Server) checkName(ctx context.Context, r request) (answer, error) {
	var asked struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(r.body, &asked); err != nil {
		return answer{}, coffer.Errorf(coffer.CodeInvalidContent, "the body: %w", err)
	}
	if asked.Type != "" && !strings.EqualFold(asked.Type, "Microsoft.DataProtection/BackupVaults") {
		return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "type is %.60q", asked.Type).WithHint("ask for Microsoft.DataProtection/backupVaults")
	}
	available, err := s.nameAvailable(ctx, r.target.ID.Group(), asked.Name)
	return answer{status: http.StatusOK, body: available}, err
}

func (s *Server) nameAvailable(ctx context.Context, group catalogue.ID, name string) (a nameAnswer, err error) {
	problem := decide.CheckName(name)
	taken := false
	if problem == nil && group != "" {
		taken, err = s.Keeper.Exists(ctx, group+catalogue.ID("/providers/Microsoft.DataProtection/backupVaults/"+name))
	}
	switch {
	case problem != nil:
		a = nameAnswer{Reason: "Invalid", Message: problem.Error()}
	case taken:
		a = nameAnswer{Reason: "AlreadyExists", Message: "There is a backup vault of this name in the resource group already."}
	default:
		a = nameAnswer{NameAvailable: true}
	}
	return a, err
}

// checkFeature says which features there are: those of Kubernetes clusters, everywhere.
func (s *Server) checkFeature(_ context.Context, r request) (answer, error) {
	var asked struct {
		ObjectType  string `json:"objectType"`
		FeatureType string `json:"featureType"`
		FeatureName string `json:"featureName"`
	}
	if err := json.Unmarshal(r.body, &asked); err != nil {
		return answer{}, coffer.Errorf(coffer.CodeInvalidContent, "the body: %w", err)
	}
	status := "NotSupported"
	if strings.EqualFold(asked.FeatureType, "DataSourceType") && strings.EqualFold(asked.FeatureName, "Microsoft.ContainerService/managedClusters") {
		status = "GenerallyAvailable"
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"objectType": "FeatureValidationResponse", "featureType": asked.FeatureType,
		"features": []map[string]any{{"featureName": asked.FeatureName, "supportStatus": status, "exposureControlledFeatures": []string{}}},
	}}, nil
}
