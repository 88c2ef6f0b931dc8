package catalogue

import (
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// ID is the id of a managed resource in ARM's form, in canonical spelling and without a slash at its end. Two ids name the same
// resource exactly if their Keys are equal. The empty ID is the root of the tenant.
//
//	/subscriptions/S
//	/subscriptions/S/resourceGroups/G
//	SCOPE/providers/NAMESPACE/TYPE/NAME[/TYPE/NAME...]     SCOPE is any ID
type ID string

// Bounds of what is taken for an id. ARM's own are 260 letters of a name and 2,048 of a path.
const (
	maxID = 2048
	// maxWords is how many parts a path may have. The deepest resources have about 16; an entry of the audit log is found by each scope
	// that it lies in.
	maxWords = 32
	maxName  = 260
)

var (
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9_(][A-Za-z0-9_.()=;+-]*$`)
	providerForm = regexp.MustCompile(`^[A-Za-z0-9]+(\.[A-Za-z0-9]+)+$`)
	typeForm     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
)

// Target is what the path of a request means.
type Target struct {
	// ID is the resource, or what the collection or the action belongs to.
	ID ID
	// Rest is empty for a resource. Otherwise it is the last element of the path: a collection ("backupInstances") or an action
	// ("validateForBackup"), with its provider's namespace if it begins with one ("Microsoft.DataProtection/backupVaults").
	Rest string
}

// Type is the resource type of what the path means, that of the resource, or the one that Rest continues: for
// .../backupVaults/v/validateForBackup it is Microsoft.DataProtection/backupVaults/validateForBackup.
func (t Target) Type() string {
	switch {
	case t.Rest == "":
		return t.ID.Type()
	case strings.Contains(t.Rest, "/") || t.ID == "":
		return t.Rest
	case strings.Contains(t.ID.Type(), "/"):
		return t.ID.Type() + "/" + t.Rest
	}
	return t.Rest
}

// ParsePath reads the path of a request. Doubled slashes count as one, and the case of its words does not matter.
func ParsePath(path string) (Target, error) {
	if len(path) > maxID {
		return Target{}, coffer.Errorf(coffer.CodeInvalidResourceID, "the path has %d characters: at most %d are possible", len(path), maxID)
	}
	words := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(words) > maxWords {
		return Target{}, invalidID(path, "it has %d parts: at most %d are possible", len(words), maxWords)
	}
	var id strings.Builder
	for len(words) > 0 {
		head := canonical(words[0])
		if head == "providers" {
			if len(words) == 1 {
				return Target{ID: ID(id.String()), Rest: head}, nil
			}
			if !providerForm.MatchString(words[1]) {
				return Target{}, invalidID(path, "%q is not the namespace of a provider, such as Microsoft.DataProtection", words[1])
			}
			provider := canonical(words[1])
			if len(words) == 2 {
				return Target{ID: ID(id.String()), Rest: head + "/" + provider}, nil
			}
			rest, err := parseTypes(path, &id, provider, words[2:])
			if err != nil || rest.done {
				return Target{ID: ID(id.String()), Rest: rest.collection}, err
			}
			words = rest.words
			continue
		}
		if !typeForm.MatchString(head) {
			return Target{}, invalidID(path, "%q is not a resource type", words[0])
		}
		if len(words) == 1 {
			return Target{ID: ID(id.String()), Rest: head}, nil
		}
		if err := checkName(path, words[1]); err != nil {
			return Target{}, err
		}
		id.WriteString("/" + head + "/" + words[1])
		words = words[2:]
	}
	return Target{ID: ID(id.String())}, nil
}

// ParseID reads the id of a resource.
func ParseID(text string) (ID, error) {
	t, err := ParsePath(text)
	if err == nil && (t.Rest != "" || t.ID == "" || !strings.HasPrefix(text, "/")) {
		err = invalidID(text, "it does not name a resource: it goes /subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME")
	}
	return t.ID, err
}

// typesRest is what follows the types and names of one provider.
type typesRest struct {
	words      []string
	collection string
	done       bool
}

// parseTypes reads TYPE/NAME pairs up to the next provider.
func parseTypes(path string, id *strings.Builder, provider string, words []string) (typesRest, error) {
	for first := true; len(words) > 0; first = false {
		if !first && strings.EqualFold(words[0], "providers") {
			return typesRest{words: words}, nil
		}
		if !typeForm.MatchString(words[0]) {
			return typesRest{}, invalidID(path, "%q is not a resource type", words[0])
		}
		kind := canonical(words[0])
		if len(words) == 1 {
			if first {
				kind = provider + "/" + kind
			}
			return typesRest{collection: kind, done: true}, nil
		}
		if err := checkName(path, words[1]); err != nil {
			return typesRest{}, err
		}
		if first {
			id.WriteString("/providers/" + provider)
		}
		id.WriteString("/" + kind + "/" + words[1])
		words = words[2:]
	}
	return typesRest{done: true}, nil
}

func checkName(path, name string) error {
	if len(name) > maxName || !nameForm.MatchString(name) {
		return invalidID(path, "%q is not the name of a resource: letters, digits and . _ - ( ) are possible, at most %d", name, maxName)
	}
	return nil
}

func invalidID(text, format string, args ...any) error {
	return coffer.Errorf(coffer.CodeInvalidResourceID, "the resource id %q is malformed: "+format, append([]any{text}, args...)...)
}

// Key is equal for all spellings of an id.
func (id ID) Key() string { return strings.ToLower(string(id)) }

// Is says whether both name the same resource.
func (id ID) Is(other ID) bool { return strings.EqualFold(string(id), string(other)) }

// Name is the last element.
func (id ID) Name() string { return string(id)[strings.LastIndex(string(id), "/")+1:] }

// Type is the type in ARM's words: Microsoft.DataProtection/backupVaults/backupInstances, Microsoft.Resources/resourceGroups,
// Microsoft.Resources/subscriptions; empty for the root.
func (id ID) Type() string {
	words := id.words()
	if len(words) == 0 {
		return ""
	}
	at := lastProvider(words)
	if at < 0 {
		return "Microsoft.Resources/" + words[len(words)-2]
	}
	kind := words[at+1]
	for i := at + 2; i < len(words); i += 2 {
		kind += "/" + words[i]
	}
	return kind
}

// Parent is the resource that this one is part of: the vault of an instance, the group of a vault. Of an extension resource it is
// what it extends. The root's is the root.
func (id ID) Parent() ID {
	words := id.words()
	switch at := lastProvider(words); {
	case len(words) == 0:
		return ""
	case at >= 0 && len(words) == at+4:
		return join(words[:at])
	default:
		return join(words[:len(words)-2])
	}
}

// Child is a resource below this one.
func (id ID) Child(kind, name string) ID { return id + ID("/"+kind+"/"+name) }

// Subscription is the name of the subscription, or empty.
func (id ID) Subscription() string { return id.named("subscriptions", 0) }

// ResourceGroup is the name of the group, which lies in a subscription, or empty.
func (id ID) ResourceGroup() string {
	if id.Subscription() == "" {
		return ""
	}
	return id.named("resourcegroups", 2)
}

// Group is the id of the resource group, or empty.
func (id ID) Group() ID {
	if id.ResourceGroup() == "" {
		return ""
	}
	return join(id.words()[:4])
}

// Within says whether a resource is this scope or lies below it.
func (id ID) Within(scope ID) bool {
	return scope == "" || id.Is(scope) || strings.HasPrefix(id.Key(), scope.Key()+"/")
}

func (id ID) named(kind string, at int) string {
	words := id.words()
	if len(words) >= at+2 && strings.EqualFold(words[at], kind) {
		return words[at+1]
	}
	return ""
}

func (id ID) words() []string {
	return strings.FieldsFunc(string(id), func(r rune) bool { return r == '/' })
}

func join(words []string) ID {
	if len(words) == 0 {
		return ""
	}
	return ID("/" + strings.Join(words, "/"))
}

// lastProvider is where the last "providers" that is a word of its own stands, or -1.
func lastProvider(words []string) int {
	for at, last := 0, -1; ; {
		switch {
		case at >= len(words):
			return last
		case words[at] == "providers":
			last = at
			at += 4
		default:
			at += 2
		}
	}
}

// spellings are the words that clients spell differently, as the parsers of the Go SDKs want them.
var spellings = func() map[string]string {
	found := map[string]string{}
	for _, word := range []string{
		"subscriptions", "resourceGroups", "providers", "locations",
		"Microsoft.DataProtection", "backupVaults", "backupInstances", "backupPolicies", "recoveryPoints", "backupJobs",
		"deletedBackupInstances", "deletedVaults", "resourceGuards", "backupResourceGuardProxies", "operationStatus", "operationResults",
		"Microsoft.ContainerService", "managedClusters", "trustedAccessRoleBindings", "trustedAccessRoles",
		"Microsoft.KubernetesConfiguration", "extensions",
		"Microsoft.Authorization", "roleAssignments", "roleDefinitions",
		"Microsoft.Storage", "storageAccounts", "Microsoft.Resources", "Microsoft.ResourceGraph", "resources",
		"deleteResourceGuardProxyRequests", "dppReduceSoftDeleteSecurityRequests", "dppReduceImmutabilityStateRequests", "dppModifyEncryptionSettingsRequests",
		"deleteBackupInstanceRequests", "dppDisableStopProtectionRequests", "dppDisableSuspendBackupsRequests", "dppModifyPolicy", "updateProtectionPolicyRequests",
		"dppTriggerRestoreRequests", "releaseHoldRequests", "deleteProtectedItemRequests", "updateProtectedItemRequests", "disableSoftDeleteRequests", "getBackupSecurityPINRequests",
		"Coffer.Backup", "servicePrincipals", "auditEntries", "tokenIssuers", "settings",
	} {
		found[strings.ToLower(word)] = word
	}
	return found
}()

func canonical(word string) string {
	if known, ok := spellings[strings.ToLower(word)]; ok {
		return known
	}
	return word
}
