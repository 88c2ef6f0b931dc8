package vault

import (
	"context"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/extension"
)

// ExtensionFacts are what the server says of the Backup extension of a cluster, as properties.coffer.
type ExtensionFacts struct {
	State ClusterState `json:"state"`
	// Message says what that means, and Command is what to do about it; both may be empty.
	Message string `json:"message"`
	Command string `json:"command"`
	Version string `json:"version"`
	// StorageLocation is of the one that the settings name; nil if they name none.
	StorageLocation *LocationFacts `json:"storageLocation,omitempty"`
}

// LocationFacts are how far it is with the storage location that settings name.
type LocationFacts struct {
	State extension.State `json:"state"`
	// Message says what that means, and what differs. Command, which may be empty, is what the cluster's owner runs.
	Message string `json:"message"`
	Command string `json:"command,omitempty"`
	// Wanted is what the settings name; nil if they contradict themselves, which Invalid says.
	Wanted  *catalogue.StorageLocation `json:"wanted,omitempty"`
	Invalid string                     `json:"invalid,omitempty"`
	// Found is what the cluster has said of its own when it was asked last, and Checked when that was.
	Found   *catalogue.FoundLocation `json:"found,omitempty"`
	Checked time.Time                `json:"checked,omitzero"`
	// Consent is the location that somebody with the role Owner on the cluster has asked for.
	Consent *catalogue.StorageLocation `json:"consent,omitempty"`
}

// ExtensionFactsOf reads what the server knows of an extension.
func ExtensionFactsOf(r catalogue.Resource) (ExtensionFacts, error) {
	return cofferFacts[ExtensionFacts](r)
}

// extensionState are the facts of the Backup extension of a cluster: it is there once the cluster has joined by it.
func extensionState(cluster catalogue.ID, f ClusterFacts, location *LocationFacts) object {
	status := object{"code": "InstallationPending", "displayStatus": "Pending", "level": "Information", "message": "the cluster has not joined"}
	if f.State != ClusterPending {
		status = object{"code": "Succeeded", "displayStatus": "Installed", "level": "Information", "message": "the extension has joined from its cluster"}
	}
	state := ExtensionFacts{State: f.State, Message: f.Message, Command: f.Command, Version: f.ConnectorVersion, StorageLocation: location}
	if f.State == ClusterPending {
		state.Command = pendingCluster(cluster).Command
	}
	statuses, provisioned := []object{status}, "Succeeded"
	if location != nil {
		level := "Information"
		switch {
		case location.State == extension.Differs:
			level = "Warning"
		case location.State == extension.Refused, location.unavailable():
			// Clients that look whether an extension can be used find that it cannot.
			level, provisioned = "Error", "Failed"
		}
		text := location.Message
		if location.Command != "" {
			text += "; the command is: " + location.Command
		}
		statuses = append(statuses, object{"code": "StorageLocation" + string(location.State), "displayStatus": string(location.State), "level": level, "message": text})
	}
	return object{"coffer": state, "statuses": statuses, "provisioningState": provisioned}
}

func (l LocationFacts) unavailable() bool {
	return l.State == extension.Applied && l.Found != nil && l.Found.Phase == "Unavailable"
}

// judged is l with what there is to say of it.
func (l LocationFacts) judged(c extension.Case) (judged LocationFacts, awaited bool) {
	if l.Wanted == nil {
		c.Invalid = coffer.Errorf(coffer.CodeInvalidInput, "%s", l.Invalid)
	} else {
		c.Wanted, c.Found, c.Consented = *l.Wanted, l.Found, l.Consent != nil && *l.Consent == *l.Wanted
	}
	o := extension.Judge(c)
	l.State, l.Message, l.Command = o.State, o.Message, o.Command
	return l, o.Awaited
}

// proposedLocation is how far it is with the location that the settings of a proposal name; nil if they name none. An Owner of the cluster who proposes them consents with
// that to what they name.
func proposedLocation(ctx context.Context, v catalogue.View, p Proposal, body extensionBody) (*LocationFacts, error) {
	var l LocationFacts
	if p.Before != nil {
		was, err := ExtensionFactsOf(*p.Before)
		if err != nil {
			return nil, err
		}
		if was.StorageLocation != nil {
			l = *was.StorageLocation
		}
	}
	before := l
	var err error
	if l.Wanted, l.Invalid, err = namedLocation(ctx, v, p, body); err != nil || l.Wanted == nil && l.Invalid == "" {
		return nil, err
	}
	if l.Wanted != nil {
		held, err := Held(ctx, v, p.By.Principal)
		if err != nil {
			return nil, err
		}
		if access.Decide(p.By.Principal, held, access.ActionConsent, p.ID.Parent()).Allowed {
			l.Consent = l.Wanted
		}
	}
	if same(l.Wanted, before.Wanted) && same(l.Consent, before.Consent) && l.Invalid == before.Invalid {
		return &l, nil
	}
	// What the cluster has is asked anew.
	l.Found, l.Checked = nil, time.Time{}
	l, _ = l.judged(extension.Case{Cluster: p.ID.Parent(), Askable: true})
	return &l, nil
}

func same(a, b *catalogue.StorageLocation) bool { return a == b || a != nil && b != nil && *a == *b }

// namedLocation is what settings name, or why that is nothing that a location could be. What is known of the storage account is so to those who may read it.
func namedLocation(ctx context.Context, v catalogue.View, p Proposal, body extensionBody) (named *catalogue.StorageLocation, invalid string, err error) {
	settings := map[string]string{}
	for name, value := range body.Properties.ConfigurationSettings {
		if value != nil {
			settings[name] = *value
		}
	}
	known, invalid, err := namedAccount(ctx, v, p, extension.AccountOf(settings, p.ID.Parent()))
	if err != nil || invalid != "" {
		return nil, invalid, err
	}
	read, err := extension.Read(settings, known)
	if err != nil || read.Location == nil {
		return nil, text(err), nil
	}
	l := extension.LocationOf(*read.Location)
	if invalid = text(extension.CheckLocation(l)); invalid != "" {
		return nil, invalid, nil
	}
	return &l, "", nil
}

// namedAccount is what is known of the storage account that settings name; nothing of none, and of one that is not there. invalid is why it is
// not for the caller.
func namedAccount(ctx context.Context, v catalogue.View, p Proposal, id catalogue.ID) (known extension.Account, invalid string, err error) {
	if id == "" {
		return known, "", nil
	}
	account, err := find(ctx, v, id)
	if err != nil || account == nil {
		return known, "", err
	}
	if err := mayReadLinked(ctx, v, p, typeExtension, id); err != nil {
		if coffer.CodeOf(err) == coffer.CodeLinkedAuthorizationFailed {
			return known, err.Error(), nil
		}
		return known, "", err
	}
	said, err := decode[storageBody](Proposal{ID: id, Body: account.Body})
	if err != nil {
		return known, "", err
	}
	return extension.Account{Provider: said.Properties.Coffer.Provider, Endpoint: said.Properties.Coffer.Endpoint}, "", nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// awaitedCluster is the target of catalogue.LinkAwaited.
const awaitedCluster = "cluster"

// putExtension writes what there is to say of the extension of a cluster.
func putExtension(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, f ClusterFacts, location *LocationFacts, awaited bool) error {
	r, err := withFacts(r, extensionState(r.ID.Parent(), f, location))
	if err != nil {
		return err
	}
	target := ""
	if awaited {
		target = awaitedCluster
	}
	_, err = tx.PutResource(ctx, withLink(r, catalogue.LinkAwaited, target), catalogue.Condition{Version: r.Version})
	return err
}

// forgetLocations forgets what was found and consented to in a cluster that leaves: another one may come in its place.
func forgetLocations(ctx context.Context, tx catalogue.Tx, cluster catalogue.ID, f ClusterFacts) error {
	return each(ctx, tx, catalogue.ResourceQuery{Type: typeExtension, Under: cluster}, func(e catalogue.Resource) error {
		was, err := ExtensionFactsOf(e)
		if err != nil || was.StorageLocation == nil {
			return err
		}
		l := *was.StorageLocation
		l.Found, l.Checked, l.Consent = nil, time.Time{}, nil
		l, awaited := l.judged(extension.Case{Cluster: cluster, Askable: true})
		return putExtension(ctx, tx, e, f, &l, awaited)
	})
}

// settledEntry is the audit entry of a cluster that has changed where it writes to.
func settledEntry(at time.Time, extension catalogue.ID) catalogue.AuditEntry {
	return connector(extension.Parent(), "").entry(at, access.ActionSettings, extension, http.StatusOK)
}
