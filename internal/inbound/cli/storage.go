package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newStorageLocation() *cobra.Command {
	return group("storage-location", "Make, list, show, check and delete the places where recovery points are kept",
		p.newStorageCreate(), p.newStorageList(), p.newStorageShow(), p.newStorageCheck(), p.newTrust(), p.newDistrust(), p.newStorageDelete(), p.newStorageTakeOver())
}

func (p *program) newStorageList() *cobra.Command {
	var all v1alpha1.BackupStorageLocationList
	return newList(p, "storage locations", "BackupStorageLocation", &all, &all.Items, byName, p.storageTable)
}

func (p *program) storageTable(all []v1alpha1.BackupStorageLocation) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(p.Err, "There are no storage locations in namespace %s. Make one with `coffer storage-location create NAME`.\n", p.target.Namespace)
		return err
	}
	rows := [][]string{{"NAME", "PROVIDER", "CONTAINER", "PHASE", "ACCESS", "ENCRYPTED", "OWNER", "CHECKED", "MESSAGE"}}
	for _, l := range all {
		checked := ""
		if l.Status.LastCheckedTime != nil {
			checked = age(*l.Status.LastCheckedTime)
		}
		rows = append(rows, []string{
			l.Name, string(l.Spec.Provider), containerText(l.Spec), locationPhaseText(l.Status.Phase), accessText(l.Spec),
			yesNo(l.Spec.Encryption != nil), ownerText(l.Status.Owner), checked, l.Status.Message,
		})
	}
	return p.table(rows)
}

func containerText(s v1alpha1.BackupStorageLocationSpec) string {
	if s.Prefix == "" {
		return s.Container
	}
	return s.Container + "/" + s.Prefix
}

func accessText(s v1alpha1.BackupStorageLocationSpec) string {
	if s.ReadOnly {
		return "read-only"
	}
	return "read and write"
}

// veleroText says what may be done with the backups of Velero in a location.
func veleroText(s v1alpha1.BackupStorageLocationSpec) string {
	switch {
	case s.Velero == nil:
		return ""
	case s.Velero.TrustUnsigned:
		return "Velero's backups can be restored, though nothing vouches for them"
	}
	return "Velero's backups are not trusted"
}

// locationPhaseText is the phase for a person: a location that no extension has checked has none yet.
func locationPhaseText(phase v1alpha1.StorageLocationPhase) string {
	if phase == "" {
		return "New"
	}
	return string(phase)
}

func ownerText(o *v1alpha1.StorageLocationOwner) string {
	switch {
	case o == nil:
		return ""
	case o.Self:
		return "this cluster"
	case o.Name != "":
		return o.Name
	}
	return o.Cluster
}

func (p *program) newStorageShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one storage location, and what its last check found", Args: oneName("storage location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			_, l, err := p.storageLocation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.showStorage(l)
		},
	}
}

// storageLocation reads one.
func (p *program) storageLocation(ctx context.Context, name string) (client.Client, *v1alpha1.BackupStorageLocation, error) {
	var l v1alpha1.BackupStorageLocation
	c, err := p.read(ctx, "read", "storage location", "storage-location", name, &l)
	return c, &l, err
}

func (p *program) showStorage(l *v1alpha1.BackupStorageLocation) error {
	identify(l, "BackupStorageLocation")
	return p.show(l, func() error {
		fields := []field{
			{"Name", l.Name},
			{"Provider", string(l.Spec.Provider)},
			{"Container", containerText(l.Spec)},
			{"Store", storeText(l.Spec)},
			{"Access", accessText(l.Spec)},
			{"Velero", veleroText(l.Spec)},
			{"Credentials", credentialsText(l.Spec)},
			{"Phase", locationPhaseText(l.Status.Phase)},
			{"Reason", l.Status.Reason},
			{"Message", l.Status.Message},
			{"Signer", l.Status.Signer},
			{"Previous signer", l.Status.PreviousSigner},
			{"Trusted signers", strings.Join(l.Spec.TrustedSigners, ", ")},
		}
		fields = append(fields, encryptionFields(l)...)
		if l.Status.LastCheckedTime != nil {
			fields = append(fields, checkFields(l)...)
		}
		return p.describe(fields)
	})
}

// checkFields are what the last check found.
func checkFields(l *v1alpha1.BackupStorageLocation) []field {
	s := l.Status
	fields := []field{{"Reachable", yesNo(s.Reachable)}}
	if !l.Spec.ReadOnly {
		fields = append(fields, field{"Writable", yesNo(s.Writable)})
	}
	if s.Owner != nil {
		fields = append(fields, field{"Owner", fmt.Sprintf("%s since %s", ownerText(s.Owner), when(&s.Owner.Since))})
	} else if s.Reachable {
		fields = append(fields, field{"Owner", "nobody"})
	}
	if s.ClockSkew != nil {
		fields = append(fields, field{"Clock skew", s.ClockSkew.Duration.String()})
	} else if s.Reachable && l.Spec.Provider != v1alpha1.ProviderFilesystem {
		fields = append(fields, field{"Clock skew", "none"})
	}
	if s.RecoveryPoints != nil {
		counted := fmt.Sprint(*s.RecoveryPoints)
		// An extension of an earlier version does not say when.
		if s.LastCountedTime != nil {
			counted += fmt.Sprintf(", counted %s; counted anew by: coffer storage-location check %s", when(s.LastCountedTime), l.Name)
		}
		fields = append(fields, field{"Recovery points", counted})
	}
	return append(fields, field{"Checked", when(s.LastCheckedTime)})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func storeText(s v1alpha1.BackupStorageLocationSpec) string {
	switch {
	case s.Azure != nil:
		return strings.TrimSpace("storage account " + s.Azure.StorageAccount + " " + s.Azure.Endpoint)
	case s.S3 != nil:
		return strings.TrimSpace(s.S3.Endpoint + " " + s.S3.Region)
	case s.GCS != nil:
		return s.GCS.Endpoint
	}
	return ""
}

func credentialsText(s v1alpha1.BackupStorageLocationSpec) string {
	switch {
	case s.Provider == v1alpha1.ProviderFilesystem:
		return ""
	case s.CredentialsSecretRef != nil:
		return "Secret " + s.CredentialsSecretRef.Name
	case s.GCS != nil && s.GCS.Anonymous:
		return "none"
	}
	return "the extension's own identity"
}

func (p *program) newStorageCheck() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "check NAME", Short: "Have the extension try a storage location now, and show what it finds", Args: oneName("storage location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			c, l, err := p.storageLocation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.askStorage(cmd.Context(), c, l, nil, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Minute, "how long to wait for the extension's answer")
	return cmd
}

// askStorage has a location checked, with more annotations if something else is asked for too, and shows the answer.
func (p *program) askStorage(ctx context.Context, c client.Client, l *v1alpha1.BackupStorageLocation, more map[string]string, timeout time.Duration) error {
	ask, err := p.askForCheck(ctx, c, l, more)
	if err != nil {
		return err
	}
	return p.waitForStorage(ctx, c, l, timeout, func() bool { return l.Status.LastHandledCheck == ask })
}

// askForCheck asks for a check, and answers by which status.lastHandledCheck its answer is known.
func (p *program) askForCheck(ctx context.Context, c client.Client, l *v1alpha1.BackupStorageLocation, more map[string]string) (ask string, err error) {
	before := l.DeepCopy()
	if l.Annotations == nil {
		l.Annotations = map[string]string{}
	}
	ask = time.Now().UTC().Format(time.RFC3339Nano)
	l.Annotations[v1alpha1.AnnotationCheck] = ask
	for key, value := range more {
		l.Annotations[key] = value
	}
	if err := c.Patch(ctx, l, client.MergeFrom(before)); err != nil {
		return "", fmt.Errorf("ask for a check of storage location %s: %w", l.Name, err)
	}
	return ask, nil
}

// waitForStorage waits for an answer of the extension and shows it. A location that is Unavailable is errShown.
func (p *program) waitForStorage(ctx context.Context, c client.Client, l *v1alpha1.BackupStorageLocation, timeout time.Duration, answered func() bool) error {
	if err := p.awaitCheck(ctx, c, l, timeout, answered); err != nil {
		return err
	}
	if err := p.showStorage(l); err != nil {
		return err
	}
	if l.Status.Phase != v1alpha1.StorageLocationAvailable {
		_, _ = fmt.Fprintf(p.Err, "coffer: %s: %s: %s\n", l.Status.Phase, l.Status.Reason, harmless(l.Status.Message))
		return errShown
	}
	return nil
}

// awaitCheck waits for an answer of the extension.
func (p *program) awaitCheck(ctx context.Context, c client.Client, l *v1alpha1.BackupStorageLocation, timeout time.Duration, answered func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	told := false
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for !answered() {
		if !told && time.Since(began) > pickUpPatience {
			told = true
			_, _ = fmt.Fprintf(p.Err, "no Backup extension has answered for %s: `kubectl get pods -n %s` says whether it runs\n", pickUpPatience, p.target.Namespace)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped waiting for the check of storage location %s: %w; see `coffer storage-location show %s` later", l.Name, ctx.Err(), l.Name)
		case <-tick.C:
		}
		if err := c.Get(ctx, client.ObjectKeyFromObject(l), l); err != nil {
			return fmt.Errorf("follow the check: %w", err)
		}
	}
	return nil
}

func (p *program) newStorageDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Forget a storage location; what its container holds stays", Args: oneName("storage location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Forget storage location %s? Its recovery points stay in the container.", args[0])); err != nil {
					return err
				}
			}
			c, l, err := p.storageLocation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := c.Delete(cmd.Context(), l); err != nil {
				return fmt.Errorf("delete storage location %s: %w", l.Name, err)
			}
			identify(l, "BackupStorageLocation")
			return p.show(l, func() error {
				_, err := fmt.Fprintf(p.Out, "Storage location %s is forgotten. What container %s holds is as it was.\n", l.Name, containerText(l.Spec))
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (p *program) newStorageTakeOver() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "take-over NAME", Short: "Let this cluster write where another did that is gone for good", Args: oneName("storage location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			if !yes && !p.Terminal {
				return p.confirm(fmt.Sprintf("Take over storage location %s? The cluster that writes there must be gone.", args[0]))
			}
			c, l, err := p.storageLocation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			owner := l.Status.Owner
			switch {
			case l.Spec.ReadOnly:
				return fmt.Errorf("storage location %s is read-only, so nothing is to be taken over; set its readOnly to false first", l.Name)
			case owner == nil:
				return fmt.Errorf("nobody is known to own storage location %s; see `coffer storage-location check %s`", l.Name, l.Name)
			case owner.Self:
				return fmt.Errorf("storage location %s is this cluster's already", l.Name)
			}
			if !yes {
				question := fmt.Sprintf("Cluster %s writes to storage location %s since %s. Is it gone for good, and shall this one write there?", ownerText(owner), l.Name, when(&owner.Since))
				if err := p.confirm(question); err != nil {
					return err
				}
			}
			return p.askStorage(cmd.Context(), c, l, map[string]string{v1alpha1.AnnotationTakeOver: owner.Cluster}, timeout)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	flags.DurationVar(&timeout, "timeout", 3*time.Minute, "how long to wait for the extension's answer")
	return cmd
}
