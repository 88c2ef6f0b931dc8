package vault

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// tracked are the fields that resources in a region have.
type tracked struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

// trackedBody is what is read of resources that have nothing else of their own.
type trackedBody struct {
	tracked
	identified
	Properties json.RawMessage `json:"properties"`
}

// identified are the fields of resources that have an identity.
type identified struct {
	Identity *struct {
		Type string `json:"type"`
	} `json:"identity"`
}

// ownBody has the names of what the server says of resources: clients that read names in any case are to find no other beside it.
type ownBody struct {
	ID         json.RawMessage `json:"id"`
	Name       json.RawMessage `json:"name"`
	Type       json.RawMessage `json:"type"`
	ETag       json.RawMessage `json:"eTag"`
	SystemData json.RawMessage `json:"systemData"`
	Identity   arm.Identity    `json:"identity"`
	Properties struct {
		ProvisioningState      json.RawMessage `json:"provisioningState"`
		CurrentProtectionState json.RawMessage `json:"currentProtectionState"`
		ProtectionStatus       json.RawMessage `json:"protectionStatus"`
		AKSAssignedIdentity    arm.Identity    `json:"aksAssignedIdentity"`
		PrimaryEndpoints       json.RawMessage `json:"primaryEndpoints"`
		Statuses               json.RawMessage `json:"statuses"`
		DeletionInfo           json.RawMessage `json:"deletionInfo"`
		Coffer                 json.RawMessage `json:"coffer"`
	} `json:"properties"`
}

// Azure's bounds of tags.
const (
	maxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

var locationForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9 -]{0,62}$`)

// decode reads what a decision needs of a body. What is wrong with its form is told with its place.
func decode[T any](p Proposal) (T, error) {
	v, err := arm.Decode[T](p.Body)
	return v, malformed(p.ID, err)
}

// respell writes the names of a body's fields as a type has them.
func respell(id catalogue.ID, body json.RawMessage, like any) (json.RawMessage, error) {
	for _, t := range []any{like, ownBody{}} {
		text, err := arm.Respell(body, t)
		if err != nil {
			return nil, malformed(id, err)
		}
		body = text
	}
	return body, nil
}

// malformed is the error about a body that arm could not read.
func malformed(id catalogue.ID, err error) error {
	if err == nil {
		return nil
	}
	refused := invalid(id, "%w", err)
	if problem, ok := errors.AsType[*arm.Error](err); ok {
		refused.Fields = []coffer.RefusedField{{Path: problem.Path, Reason: problem.Message}}
	}
	return refused
}

func invalid(id catalogue.ID, format string, args ...any) *coffer.Error {
	return coffer.Errorf(coffer.CodeInvalidInput, "%s: "+format, append([]any{id}, args...)...)
}

// checkTracked refuses a resource without a region, or one that moves: it lies where it was made.
func checkTracked(p Proposal) error {
	now, err := decode[tracked](p)
	if err != nil {
		return err
	}
	if !locationForm.MatchString(now.Location) {
		return invalid(p.ID, "location is %.64q", now.Location).WithHint("name a region, such as westeurope, or any word of yours")
	}
	if len(now.Tags) > maxTags {
		return invalid(p.ID, "there are %d tags: at most %d are possible", len(now.Tags), maxTags)
	}
	for name, value := range now.Tags {
		if name == "" || len(name) > maxTagName || len(value) > maxTagValue {
			return invalid(p.ID, "the tag %.40q has a name of %d characters and a value of %d: at most %d and %d are possible",
				name, len(name), len(value), maxTagName, maxTagValue)
		}
	}
	if p.Before == nil {
		return nil
	}
	var before tracked
	if err := json.Unmarshal(p.Before.Body, &before); err != nil {
		return err
	}
	if decide.Location(before.Location) != decide.Location(now.Location) {
		return coffer.Errorf(coffer.CodeInvalidLocation, "%s is in %s: it cannot be moved to %s", p.ID, before.Location, now.Location).
			WithHint("keep the location, or delete it and make it anew")
	}
	return nil
}

// facts encodes what the server adds to a body.
func facts(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // Facts are made of what JSON has words for.
	}
	return text
}

// object is a JSON object.
type object = map[string]any

// identityFacts are those of the system-assigned identity that a resource has had from its beginning, or gets now.
func identityFacts(p Proposal, tenant string) (object, error) {
	body, err := decode[identified](p)
	if err != nil || body.Identity == nil {
		return nil, err
	}
	if !strings.Contains(strings.ToLower(body.Identity.Type), "systemassigned") {
		kind := body.Identity.Type
		if kind == "" {
			kind = "None"
		}
		return object{"type": kind}, nil
	}
	principal := ""
	if p.Before != nil {
		var before struct {
			Identity struct {
				PrincipalID string `json:"principalId"`
			} `json:"identity"`
		}
		if err := json.Unmarshal(orEmpty(p.Before.Facts), &before); err != nil {
			return nil, err
		}
		principal = before.Identity.PrincipalID
	}
	if principal == "" {
		principal = p.NewObjectID()
	}
	return object{"type": body.Identity.Type, "principalId": principal, "tenantId": tenant}, nil
}
