package cli

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
)

// completion prints a script with which a shell completes command lines of the tool.
type completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help gives examples.
func (completion) Help() string {
	return `Prints a script with which a shell completes the subcommands and flags of clusterlite. The program
must be in the PATH under this name.

Examples:

    source <(clusterlite completion bash)      # in ~/.bashrc
    source <(clusterlite completion zsh)       # in ~/.zshrc
    clusterlite completion fish | source       # in ~/.config/fish/config.fish`
}

// scripts make the shells run the program with COMP_LINE, which the program then completes.
var scripts = map[string]string{
	"bash": `complete -o default -o bashdefault -C clusterlite clusterlite
`,
	"zsh": `autoload -U +X bashcompinit && bashcompinit
complete -o default -o bashdefault -C clusterlite clusterlite
`,
	"fish": `function __complete_clusterlite
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    clusterlite
end
complete -c clusterlite -a "(__complete_clusterlite)"
`,
}

// Run prints the script.
func (c completion) Run(_ context.Context, out subcommand.Streams) error {
	if _, err := fmt.Fprint(out.Stdout, scripts[c.Shell]); err != nil {
		return fmt.Errorf("write the script: %w", err)
	}
	return nil
}
