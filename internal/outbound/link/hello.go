package link

import (
	"regexp"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Bounds of what a cluster says of itself.
const (
	maxVersion = 64
	maxNotes   = 20
	maxNote    = 500
)

var (
	uidForm       = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,63}$`)
	namespaceForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// checkHello refuses what no connector says, and cleans what is for people.
func checkHello(h wire.Hello) (wire.Hello, error) {
	if h.Protocol != wire.Protocol {
		older := "the connector"
		if h.Protocol > wire.Protocol {
			older = "the server"
		}
		return h, coffer.Errorf(coffer.CodeJoinRefused, "the connector speaks protocol %d of the link, and this server %d", h.Protocol, wire.Protocol).
			WithHint("upgrade %s", older)
	}
	for _, c := range []struct {
		what, text string
		form       *regexp.Regexp
	}{
		{"the UID of kube-system", h.ClusterUID, uidForm},
		{"the extension's namespace", h.Namespace, namespaceForm},
		{"the namespace of vaults", h.VaultsNamespace, namespaceForm},
	} {
		if !c.form.MatchString(c.text) {
			return h, coffer.Errorf(coffer.CodeInvalidInput, "%s, as the connector has it, is none: %.80q", c.what, c.text)
		}
	}
	h.Version, h.KubernetesVersion = wire.Clean(h.Version, maxVersion), wire.Clean(h.KubernetesVersion, maxVersion)
	notes := h.Notes
	h.Notes = nil
	for _, n := range notes[:min(len(notes), maxNotes)] {
		if n = wire.Clean(n, maxNote); n != "" {
			h.Notes = append(h.Notes, n)
		}
	}
	return h, nil
}

func infoOf(h wire.Hello) catalogue.ClusterInfo {
	return catalogue.ClusterInfo{
		UID: h.ClusterUID, Namespace: h.Namespace, VaultsNamespace: h.VaultsNamespace, Version: h.Version,
		KubernetesVersion: h.KubernetesVersion, BindingsByOwner: h.BindingsByOwner, Settings: h.Settings, SettingsByOwner: h.Settings && h.SettingsByOwner, Notes: h.Notes,
	}
}
