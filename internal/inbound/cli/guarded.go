package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

// guardedFlags name the operation requests of a resource guard by which something is done that the guard covers.
type guardedFlags struct{ requests []string }

const requestsFlag = "resource-guard-operation-requests"

// bind defines the flag; the operations are those that a guard may cover of what the command does.
func (f *guardedFlags) bind(cmd *cobra.Command, operations ...guard.Operation) {
	words := guardWords(operations)
	cmd.Flags().StringSliceVar(&f.requests, requestsFlag, nil, "where the vault is under a resource guard that covers this: the guard's operation requests, by their ids, or "+strings.Join(words, ", "))
	cmd.Flags().StringSliceVar(&f.requests, "operation-requests", nil, "the same as --"+requestsFlag)
	_ = cmd.Flags().MarkHidden("operation-requests") // It is there.
	mustComplete(cmd, requestsFlag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func guardWords(operations []guard.Operation) []string {
	words := make([]string, len(operations))
	for i, o := range operations {
		words[i] = o.Word
	}
	return words
}

// named are the ids of the operation requests that are named; a word is one of the guard that the vault is under.
func (f *guardedFlags) named(ctx context.Context, s session, vault string) ([]string, error) {
	var ids []string
	var over catalogue.ID
	for _, text := range f.requests {
		if strings.HasPrefix(text, "/") {
			ids = append(ids, text)
			continue
		}
		o, ok := guard.Find(text)
		if !ok {
			return nil, usageError{fmt.Errorf("--%s %.80q is no critical operation: write the id of an operation request, or some of %s", requestsFlag, text, strings.Join(guardWords(guard.Operations()), ", "))}
		}
		if over == "" {
			v, err := s.readMapping(ctx, vault, ": leave --"+requestsFlag+" out")
			if err != nil {
				return nil, err
			}
			over = catalogue.ID(v.Properties.ResourceGuardResourceID)
		}
		ids = append(ids, string(guard.RequestID(over, o)))
	}
	return ids, nil
}

// body is what is sent with an action that the vault's guard may cover; nil is nothing.
func (f *guardedFlags) body(ctx context.Context, s session, vault string) (any, error) {
	ids, err := f.named(ctx, s, vault)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return arm.SuspendRequest{ResourceGuardOperationRequests: ids}, nil
}

// put names the operation requests in the body of a resource below a vault, or of the vault itself.
func (f *guardedFlags) put(ctx context.Context, s session, vault string, body map[string]any) error {
	ids, err := f.named(ctx, s, vault)
	if err == nil && len(ids) > 0 {
		putValue(body, ids, "properties", "resourceGuardOperationRequests")
	}
	return err
}

// unlock has something deleted, if operation requests are named: a request to delete it has no room for them.
func (f *guardedFlags) unlock(ctx context.Context, p *program, s session, vault, resource string) error {
	ids, err := f.named(ctx, s, vault)
	if err != nil || len(ids) == 0 {
		return err
	}
	_, err = p.unlock(ctx, s, vault, ids, resource)
	return err
}

// unlock asks for the consent to a deletion, which lasts for a while.
func (p *program) unlock(ctx context.Context, s session, vault string, ids []string, resource string) (json.RawMessage, error) {
	body, err := json.Marshal(arm.UnlockDeleteRequest{ResourceGuardOperationRequests: ids, ResourceToBeDeleted: resource})
	if err != nil {
		return nil, err
	}
	reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: vault + mappingPath + "/unlockDelete", Body: body})
	if err != nil {
		return nil, fmt.Errorf("unlock %s: %w", catalogue.ID(resource).Name(), err)
	}
	v, err := decodeAs[arm.UnlockDeleteResponse](reply.Body)
	if err == nil {
		p.told("It can be deleted until %s.", timeText(&v.UnlockDeleteExpiryTime))
	}
	return reply.Body, err
}

// unguarded is the error of a vault that is under no resource guard, with what to do, or that of one that is not there.
func (s session) unguarded(ctx context.Context, vault, todo string) error {
	if _, err := s.Do(ctx, Call{Method: http.MethodGet, Path: vault}); err != nil {
		return err
	}
	return errors.New("the Backup vault " + catalogue.ID(vault).Name() + " is under no resource guard" + todo)
}

// readMapping reads by what a vault is under a resource guard; todo is told of one that is under none.
func (s session) readMapping(ctx context.Context, vault, todo string) (mappingView, error) {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: vault + mappingPath})
	if coffer.CodeOf(err) == coffer.CodeResourceNotFound {
		return mappingView{}, s.unguarded(ctx, vault, todo)
	}
	if err != nil {
		return mappingView{}, err
	}
	return decodeAs[mappingView](reply.Body)
}
