package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

const pointCollection = "recoveryPoints"

// latest stands for the newest recovery point.
const latest = "latest"

func (p *program) newRecoveryPoint() *cobra.Command {
	cmd := group("recovery-point", "List the recovery points of a backup instance, and look into them",
		p.newPointList(), p.newPointShow(), p.newPointContents(), p.newPointCoverage(), p.newPointDiff(), p.newPointSearch(),
		p.newPointHold(), p.newPointRelease())
	cmd.Aliases = []string{"point"}
	return p.onServer(cmd)
}

func pointNoun() noun {
	return noun{
		name: "recovery point", create: "coffer backup-instance adhoc-backup", fields: pointFields,
		heading: []string{"NAME", "TIME", "RETENTION TAG", "EXPIRES", "TIER", "STATE"}, row: pointRow,
	}
}

// pointView is a recovery point as the server shows it.
type pointView struct {
	ID         catalogue.ID      `json:"id"`
	Name       string            `json:"name"`
	Properties arm.RecoveryPoint `json:"properties"`
}

func (v pointView) tiers() string {
	var tiers []string
	for _, s := range v.Properties.RecoveryPointDataStoresDetails {
		if s.Visible || len(v.Properties.RecoveryPointDataStoresDetails) == 1 {
			tiers = append(tiers, string(s.Type))
		}
	}
	return strings.Join(tiers, ", ")
}

// expires is when the last of its stores lets go of it.
func (v pointView) expires() string {
	last := v.Properties.ExpiryTime
	for _, s := range v.Properties.RecoveryPointDataStoresDetails {
		if s.ExpiryTime != nil && (last == nil || s.ExpiryTime.After(*last)) {
			last = s.ExpiryTime
		}
	}
	return timeText(last)
}

func pointFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[pointView](text)
	if err != nil {
		return nil, err
	}
	r := v.Properties
	coffer := arm.CofferPoint{}
	if r.Coffer != nil {
		coffer = *r.Coffer
	}
	return []field{
		{"Name", v.Name},
		{"Friendly name", r.FriendlyName},
		{"Backup instance", v.ID.Parent().Name()},
		{"Time", timeText(&r.RecoveryPointTime)},
		{"Type", string(r.RecoveryPointType)},
		{"State", string(r.RecoveryPointState)},
		{"Tier", v.tiers()},
		{"Policy", r.PolicyName},
		{"Retention tag", r.RetentionTagName},
		{"Scheduled for", timeText(coffer.Slot)},
		{"Expires", v.expires()},
		{"Kept", coffer.Kept},
		{"Legal hold", holdText(coffer)},
		{"Unreadable", coffer.Unreadable},
		{"ID", string(v.ID)},
	}, nil
}

func pointRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[pointView](text)
	r := v.Properties
	return []string{v.Name, timeText(&r.RecoveryPointTime), r.RetentionTagName, v.expires(), v.tiers(), string(r.RecoveryPointState)}, err
}

// pointFlagsOf name a recovery point: by --recovery-point-id, or as the argument.
type pointFlagsOf struct {
	instanceFlags
	point string
}

func (f *pointFlagsOf) bind(p *program, cmd *cobra.Command) {
	f.bindPlain(p, cmd)
	cmd.Flags().StringVar(&f.point, "recovery-point-id", "", "recovery point, by its name or id, or latest; it may also be given without the flag")
	mustComplete(cmd, "recovery-point-id", p.completePoints)
	cmd.ValidArgsFunction = p.completePoints
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		return named(cmd, args, "recovery point", "recovery-point-id", &f.point)
	}
}

func (p *program) completePoints(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		id, err := s.instanceID(ctx, instanceFlags{vaultOf(cmd), flagOf(cmd, "backup-instance-name")})
		return id + "/" + pointCollection, err
	})
}

// pointID is the id of the recovery point that is meant.
func (s session) pointID(ctx context.Context, f pointFlagsOf) (string, error) {
	if strings.HasPrefix(f.point, "/") {
		return idOf("recovery-point-id", f.point, pointCollection)
	}
	instance, err := s.instanceID(ctx, f.instanceFlags)
	if err != nil {
		return "", err
	}
	if f.point == latest {
		f.point, err = s.latestPoint(ctx, instance)
		return instance + "/" + pointCollection + "/" + f.point, err
	}
	return instance + "/" + pointCollection + "/" + f.point, checkSegment("recovery-point-id", f.point)
}

// latestPoint is the name of an instance's newest recovery point.
func (s session) latestPoint(ctx context.Context, instance string) (string, error) {
	var newest pointView
	err := s.Each(ctx, instance+"/"+pointCollection, func(item json.RawMessage) error {
		v, err := decodeAs[pointView](item)
		if newest.Name == "" || v.Properties.RecoveryPointTime.After(newest.Properties.RecoveryPointTime) {
			newest = v
		}
		return err
	})
	if err == nil && newest.Name == "" {
		err = fmt.Errorf("backup instance %s has no recovery point; make one with `coffer backup-instance adhoc-backup`", catalogue.ID(instance).Name())
	}
	return newest.Name, err
}

// atPoint is the server, and the id of the recovery point that is meant there.
func (p *program) atPoint(ctx context.Context, at pointFlagsOf) (session, string, error) {
	return atServer(ctx, p, session.pointID, at)
}

func (p *program) newPointList() *cobra.Command {
	var at instanceFlags
	var from, to string
	cmd := &cobra.Command{
		Use: "list", Short: "List the recovery points of a backup instance, newest first", Aliases: []string{"ls"}, Args: noArgs,
		Example: "  coffer recovery-point list -g shop -v shop-vault -n shop --start-time 2026-11-01",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := filter(filterTerm{"startDate", from}, filterTerm{"endDate", to})
			if err != nil {
				return err
			}
			s, id, err := p.atInstance(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, pointNoun().such(query != ""), id+"/"+pointCollection+query)
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&from, "start-time", "", "only those of then or later, such as 2026-11-01 or 2026-11-01T08:00:00Z")
	cmd.Flags().StringVar(&to, "end-time", "", "only those of before")
	return cmd
}

func (p *program) newPointShow() *cobra.Command {
	var at pointFlagsOf
	cmd := &cobra.Command{
		Use: "show RECOVERY-POINT", Short: "Show a recovery point",
		Example: "  coffer recovery-point show -g shop -v shop-vault -n shop latest",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atPoint(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, pointNoun(), id)
		},
	}
	at.bind(p, cmd)
	return cmd
}

// objectFlags choose objects by what they are called.
type objectFlags struct{ namespace, kind, name string }

func (f *objectFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.namespace, "included-namespace", "", "only objects of this namespace")
	cmd.Flags().StringVar(&f.kind, "type", "", "only objects of this type, such as Secret, v1/Secret, deployments.apps or *.acme.io")
	cmd.Flags().StringVar(&f.name, "name", "", "only objects of this name")
}

// query is what is asked for, beside other values.
func (f *objectFlags) query(more url.Values) (string, error) {
	if f.kind != "" {
		if err := selection.CheckSpelling("--type", f.kind); err != nil {
			return "", usageError{err}
		}
	}
	query := url.Values{}
	for name, value := range map[string]string{"namespace": f.namespace, "type": f.kind, "name": f.name} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, values := range more {
		query[name] = values
	}
	if len(query) == 0 {
		return "", nil
	}
	return "?" + query.Encode(), nil
}

// largestPage is how many items are asked for at a time of what a cluster answers: it begins anew for every page.
const largestPage = "$top=1000"

// pagesOf reads what a cluster answers as items of one kind, page by page.
func pagesOf[T any](ctx context.Context, s session, path string) items[T] {
	if strings.Contains(path, "?") {
		path += "&" + largestPage
	} else {
		path += "?" + largestPage
	}
	return func(each func(T) error) error {
		return s.Each(ctx, path, func(text json.RawMessage) error {
			item, err := decodeAs[T](text)
			if err != nil {
				return err
			}
			return each(item)
		})
	}
}

func (p *program) newPointContents() *cobra.Command {
	var at pointFlagsOf
	var f objectFlags
	var objects bool
	cmd := &cobra.Command{
		Use: "contents RECOVERY-POINT", Short: "List the objects of a recovery point, or print them with --objects",
		Long: `List the objects of a recovery point, or print them: as a stream of YAML documents with --objects, as a List with --objects -o json.
Values of Secrets are masked. If the exit code is not 0, what was printed is not all.`,
		Example: `  coffer recovery-point contents -n shop latest --included-namespace shop
  coffer recovery-point contents -n shop latest --type Deployment --name web --objects`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			more := url.Values{}
			if objects {
				more.Set("objects", "true")
			}
			query, err := f.query(more)
			if err != nil {
				return err
			}
			s, id, err := p.atPoint(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.printContents(cmd.Context(), s, id, query, f.name, objects)
		},
	}
	at.bind(p, cmd)
	f.bind(cmd)
	cmd.Flags().BoolVar(&objects, "objects", false, "print the objects, and not their names")
	return cmd
}

func (p *program) printContents(ctx context.Context, s session, id, query, name string, objects bool) error {
	read := pagesOf[content.Item](ctx, s, question(id, "contents")+query)
	if !objects && (p.output != "table" || p.flags.compiled != nil) {
		all := []content.Item{}
		if err := read(func(i content.Item) error { all = append(all, i); return nil }); err != nil {
			return err
		}
		return p.render(all, func() error { return nil })
	}
	printer := p.newContentsPrinter()
	if objects && p.output == "table" {
		printer = &yamlPrinter{out: p.Out}
	}
	point := catalogue.ID(id).Name()
	if err := read(printer.print); err != nil {
		printer.cut()
		return fmt.Errorf("contents of %s: %w", point, err)
	}
	found, err := printer.end()
	switch {
	case err != nil:
		return err
	case found == 0 && name != "":
		return fmt.Errorf("recovery point %s has no such object named %s", point, name)
	case found == 0:
		_, err = fmt.Fprintf(p.Err, "Nothing in recovery point %s matches.\n", point)
	}
	return err
}

func (p *program) newPointSearch() *cobra.Command {
	var at instanceFlags
	var f objectFlags
	cmd := &cobra.Command{
		Use: "search", Short: "Look for objects in all recovery points of a backup instance, newest first", Args: noArgs,
		Example: "  coffer recovery-point search -n shop --type ConfigMap --name settings",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := f.query(nil)
			if err != nil {
				return err
			}
			if f.name == "" && f.kind == "" {
				return usageError{errors.New("say what to look for with --name or --type")}
			}
			s, id, err := p.atInstance(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.printFound(pagesOf[foundObject](cmd.Context(), s, question(id, "search")+query))
		},
	}
	at.bindPlain(p, cmd)
	f.bind(cmd)
	return cmd
}

// foundObject is an object of a recovery point that a search has found.
type foundObject struct {
	RecoveryPointID   string       `json:"recoveryPointId"`
	RecoveryPointTime time.Time    `json:"recoveryPointTime"`
	Item              content.Item `json:"item"`
}

func (p *program) printFound(read items[foundObject]) error {
	all := []foundObject{}
	table := pagedTable{out: p.Out}
	rows := 0
	err := read(func(f foundObject) error {
		if p.output != "table" || p.flags.compiled != nil {
			all = append(all, f)
			return nil
		}
		if rows++; rows == 1 {
			if err := table.row("RECOVERY POINT", "TIME", "TYPE", "NAMESPACE", "NAME", "SIZE"); err != nil {
				return err
			}
		}
		point := f.RecoveryPointID[strings.LastIndex(f.RecoveryPointID, "/")+1:]
		return table.row(point, timeText(&f.RecoveryPointTime), typeText(f.Item.Group, f.Item.Resource), f.Item.Namespace, f.Item.Name, bytesText(f.Item.Size))
	})
	if flushErr := table.flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		return err
	}
	return p.render(all, func() error {
		if rows == 0 {
			_, err := fmt.Fprintln(p.Err, "No recovery point has such an object.")
			return err
		}
		return nil
	})
}

func typeText(group, resource string) string {
	return content.Object{Group: group, Resource: resource}.Type()
}
