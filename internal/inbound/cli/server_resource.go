package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// noun is a type of resources as the command line has it.
type noun struct {
	// name is for sentences: "backup vault". create is the command that makes one; empty is what nobody makes.
	name, create string
	// adjective says which are asked for, if that is not all: "open".
	adjective string
	// fields describe one to a person.
	fields func(text json.RawMessage) ([]field, error)
	// heading and row are those of lists.
	heading []string
	row     func(text json.RawMessage) ([]string, error)
}

func (n noun) plural() string {
	if stem, ok := strings.CutSuffix(n.name, "y"); ok {
		return stem + "ies"
	}
	return n.name + "s"
}

// such is the noun of a list of which only some are asked for, if so: that there are none does not say that none was made.
func (n noun) such(some bool) noun {
	if some {
		n.create, n.adjective = "", "such"
	}
	return n
}

// decodeAs reads what a command needs of a resource.
func decodeAs[T any](text json.RawMessage) (v T, err error) {
	if err := json.Unmarshal(text, &v); err != nil {
		return v, fmt.Errorf("the answer of the server is not understood: %w", err)
	}
	return v, nil
}

// showOne prints a resource.
func (p *program) showOne(n noun, text json.RawMessage) error {
	return p.render(text, func() error {
		fields, err := n.fields(text)
		if err != nil {
			return err
		}
		for i := range fields {
			fields[i].value = printable(fields[i].value)
		}
		return p.describe(fields)
	})
}

// showAll prints a list of resources.
func (p *program) showAll(n noun, all []json.RawMessage) error {
	if all == nil {
		all = []json.RawMessage{}
	}
	return p.render(all, func() error {
		if len(all) == 0 {
			text := fmt.Sprintf("There are no %s here that you may see.", strings.TrimSpace(n.adjective+" "+n.plural()))
			if n.create != "" {
				text += fmt.Sprintf(" Make one with `%s`.", n.create)
			}
			_, err := fmt.Fprintln(p.Err, text)
			return err
		}
		rows := [][]string{n.heading}
		for _, text := range all {
			row, err := n.row(text)
			if err != nil {
				return err
			}
			for i := range row {
				row[i] = printable(row[i])
			}
			rows = append(rows, row)
		}
		return p.table(rows)
	})
}

// get reads a resource and prints it.
func (p *program) get(ctx context.Context, s session, n noun, id string) error {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: id})
	if err != nil {
		return err
	}
	return p.showOne(n, reply.Body)
}

// list reads a collection and prints it.
func (p *program) list(ctx context.Context, s session, n noun, path string) error {
	all, err := s.List(ctx, path)
	if err != nil {
		return err
	}
	return p.showAll(n, all)
}

// write is a PUT or PATCH of a resource, which is printed.
type write struct {
	method, id string
	body       any
	// doing is for people: "create backup vault shop".
	doing  string
	noWait bool
}

func (p *program) write(ctx context.Context, s session, n noun, w write) error {
	body, err := json.Marshal(w.body)
	if err != nil {
		return fmt.Errorf("%s: %w", w.doing, err)
	}
	told := newOperationLine(p, w.doing)
	reply, err := s.Do(ctx, Call{Method: w.method, Path: w.id, Body: body, Follow: !w.noWait, Progress: told.show})
	told.end()
	if err != nil {
		return fmt.Errorf("%s: %w", w.doing, err)
	}
	if reply.Body == nil {
		// Only what is not waited for has no answer yet.
		_, err := fmt.Fprintf(p.Err, "%s: begun.\n", w.doing)
		return err
	}
	return p.showOne(n, reply.Body)
}

// remove deletes a resource once a person has said that it may be.
func (p *program) remove(ctx context.Context, s session, n noun, id string, yes, noWait bool) error {
	name := catalogue.ID(id).Name()
	if !yes {
		if err := p.confirm(fmt.Sprintf("Delete %s %s?", n.name, name)); err != nil {
			return err
		}
	}
	return p.removeAt(ctx, s, n, name, id, noWait)
}

// removeAt deletes a resource by a path, which may have a query.
func (p *program) removeAt(ctx context.Context, s session, n noun, name, path string, noWait bool) error {
	doing := fmt.Sprintf("delete %s %s", n.name, name)
	told := newOperationLine(p, doing)
	reply, err := s.Do(ctx, Call{Method: http.MethodDelete, Path: path, Follow: !noWait, Progress: told.show})
	told.end()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	text := fmt.Sprintf("%s %s is deleted.", n.name, name)
	switch {
	case reply.Status == http.StatusNoContent:
		text = fmt.Sprintf("There was no %s %s.", n.name, name)
	case noWait && reply.Status == http.StatusAccepted:
		text = fmt.Sprintf("%s %s is being deleted.", n.name, name)
	}
	_, err = fmt.Fprintln(p.Err, strings.ToUpper(text[:1])+text[1:])
	return err
}

// operationLine shows how a long-running operation goes: on a terminal one line that is rewritten, elsewhere a line for each state.
type operationLine struct {
	program     *program
	doing, last string
	began       time.Time
}

func newOperationLine(p *program, doing string) *operationLine {
	return &operationLine{program: p, doing: doing, began: time.Now()}
}

// show is told a state that is not the last.
func (l *operationLine) show(state string) {
	line := fmt.Sprintf("%6s  %s: %s", time.Since(l.began).Truncate(100*time.Millisecond), l.doing, printable(state))
	switch {
	case l.program.Terminal:
		_, _ = fmt.Fprintf(l.program.Err, "\r\x1b[K%s", line)
	case state != l.last:
		_, _ = fmt.Fprintln(l.program.Err, line)
	}
	l.last = state
}

func (l *operationLine) end() {
	if l.program.Terminal && l.last != "" {
		_, _ = fmt.Fprintln(l.program.Err)
	}
}

// scopeFlags name a place among the resources of a server.
type scopeFlags struct{ group, vault string }

func (f *scopeFlags) bindGroup(p *program, cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.group, "resource-group", "g", "", "resource group (default the profile's)")
	mustComplete(cmd, "resource-group", p.completeGroups)
}

func (f *scopeFlags) bindVault(p *program, cmd *cobra.Command) {
	f.bindGroup(p, cmd)
	cmd.Flags().StringVarP(&f.vault, "vault-name", "v", "", "Backup vault (default the profile's)")
	mustComplete(cmd, "vault-name", p.completeVaults)
}

// bindName lets what a flag of the resource's own names be named with --name, too, as az does. It is not shown.
func bindName(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "", "")
	_ = cmd.Flags().MarkHidden("name") // It is there.
}

// checkSegment refuses what cannot be a name in a path.
func checkSegment(flag, name string) error {
	id, err := catalogue.ParseID("/subscriptions/s/resourceGroups/" + name)
	if err != nil || id.Name() != name {
		return usageError{fmt.Errorf("--%s %.80q cannot be a name: letters, digits and . _ - ( ) are possible", flag, name)}
	}
	return nil
}

// groupID is the id of the resource group that is meant.
func (s session) groupID(ctx context.Context, f scopeFlags) (string, error) {
	if f.group == "" {
		f.group = s.profile.ResourceGroup
	}
	if f.group == "" {
		return "", usageError{errors.New("name the resource group with --resource-group; `coffer resource-group list` shows them")}
	}
	if err := checkSegment("resource-group", f.group); err != nil {
		return "", err
	}
	subscription, err := s.subscriptionID(ctx)
	return subscription + "/resourceGroups/" + f.group, err
}

// vaultID is the id of the Backup vault that is meant.
func (s session) vaultID(ctx context.Context, f scopeFlags) (string, error) {
	if f.vault == "" {
		f.vault = s.profile.VaultName
	}
	if f.vault == "" {
		return "", usageError{errors.New("name the Backup vault with --vault-name; `coffer backup-vault list` shows them")}
	}
	if err := checkSegment("vault-name", f.vault); err != nil {
		return "", err
	}
	group, err := s.groupID(ctx, f)
	return group + "/" + vaultCollection + "/" + f.vault, err
}

// childID is the id of what has a name in the vault that is meant: path is where its collection is below that. An id is taken for a name, too.
func (s session) childID(ctx context.Context, f scopeFlags, flag, path, name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return idOf(flag, name, path[strings.LastIndex(path, "/")+1:])
	}
	if err := checkSegment(flag, name); err != nil {
		return "", err
	}
	vault, err := s.vaultID(ctx, f)
	return vault + path + "/" + name, err
}

// subscriptionID is the id of the subscription that is meant: /subscriptions/GUID.
func (s session) subscriptionID(ctx context.Context) (string, error) {
	wanted := cmp.Or(s.subscription, s.profile.SubscriptionID)
	switch {
	case wanted == "":
		return "", usageError{errors.New("no subscription is chosen: name one with --subscription; `coffer subscription list` shows them")}
	case catalogue.GUID(wanted):
		return "/subscriptions/" + wanted, nil
	}
	all, err := s.List(ctx, "/subscriptions")
	if err != nil {
		return "", err
	}
	found := ""
	for _, text := range all {
		one, err := decodeAs[subscriptionView](text)
		if err != nil {
			return "", err
		}
		if one.DisplayName != wanted {
			continue
		}
		if found != "" {
			return "", usageError{fmt.Errorf("several subscriptions are called %q: name one by its id; `coffer subscription list` shows them", wanted)}
		}
		found = "/subscriptions/" + one.SubscriptionID
	}
	if found == "" {
		return "", fmt.Errorf("there is no subscription called %q that you may see; `coffer subscription list` shows them", wanted)
	}
	return found, nil
}

// atServer is the server, and the id that find makes there of what flags name.
func atServer[F any](ctx context.Context, p *program, find func(session, context.Context, F) (string, error), flags F) (session, string, error) {
	s, err := p.server()
	if err != nil {
		return s, "", err
	}
	id, err := find(s, ctx, flags)
	return s, id, err
}

// atGroup is the server, and the id of the resource group that is meant there.
func (p *program) atGroup(ctx context.Context, at scopeFlags) (session, string, error) {
	return atServer(ctx, p, session.groupID, at)
}

// atVault is the server, and the id of the Backup vault that is meant there.
func (p *program) atVault(ctx context.Context, at scopeFlags) (session, string, error) {
	return atServer(ctx, p, session.vaultID, at)
}
