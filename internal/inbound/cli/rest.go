package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) newRest() *cobra.Command {
	var body string
	var headers []string
	cmd := &cobra.Command{
		Use: "rest METHOD PATH", Short: "Make any request of the server's API",
		Long: `Make any request of the server's API, and print the answer as JSON. PATH begins with a slash; {subscriptionId} in it stands for the
subscription, and an api-version is added if it has none. Nothing is waited for: the answer's headers are for programs of your own.`,
		Example: `  coffer rest GET /subscriptions/{subscriptionId}/providers
  coffer rest PUT /subscriptions/{subscriptionId}/resourceGroups/shop --body group.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("give a method and a path: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			call := Call{Method: strings.ToUpper(args[0]), Path: args[1]}
			if err := p.completeCall(&call, body, headers); err != nil {
				return err
			}
			s, err := p.server()
			if err != nil {
				return err
			}
			if strings.Contains(call.Path, "{subscriptionId}") {
				subscription, err := s.subscriptionID(cmd.Context())
				if err != nil {
					return err
				}
				call.Path = strings.ReplaceAll(call.Path, "{subscriptionId}", strings.TrimPrefix(subscription, "/subscriptions/"))
			}
			reply, err := s.Do(cmd.Context(), call)
			if err != nil {
				return err
			}
			if reply.Operation != "" && reply.Status == http.StatusAccepted {
				_, _ = fmt.Fprintln(p.Err, "this goes on, and is followed at", printable(reply.Operation))
			}
			if reply.Body == nil {
				_, err := fmt.Fprintf(p.Err, "%d %s\n", reply.Status, http.StatusText(reply.Status))
				return err
			}
			return p.render(reply.Body, func() error {
				encoder := json.NewEncoder(p.Out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(reply.Body)
			})
		},
	}
	cmd.Flags().StringVar(&body, "body", "", "JSON or YAML to send: a file, or - for what is piped in")
	cmd.Flags().StringArrayVar(&headers, "headers", nil, "header NAME=VALUE to send, such as If-Match; may be repeated")
	return p.onServer(cmd)
}

// completeCall checks a call, and reads what is sent with it.
func (p *program) completeCall(call *Call, body string, headers []string) (err error) {
	methods := []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete}
	switch {
	case !slices.Contains(methods, call.Method):
		return usageError{fmt.Errorf("method %q is not known; use %s", call.Method, strings.Join(methods, ", "))}
	case !strings.HasPrefix(call.Path, "/"):
		return usageError{fmt.Errorf("the path %q has to begin with a slash: the server is the profile's", call.Path)}
	}
	call.Header = http.Header{}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return usageError{fmt.Errorf("--headers %q: write NAME=VALUE", h)}
		}
		if strings.EqualFold(name, "Authorization") {
			return usageError{errors.New("--headers: the profile says who you are; log in as somebody else with `coffer login`")}
		}
		call.Header.Add(name, value)
	}
	if body != "" {
		call.Body, err = p.readInput("--body", body)
	}
	return err
}
