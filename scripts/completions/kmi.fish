# fish completion for kmi. Commands and flags are those that `kmi help` and `kmi COMMAND --help` tell, so this file knows
# none of them by name; labels come from `kmi keys --json`, names of settings from `kmi config --json`.

function __kmi_command --description 'the command on the line so far, or nothing'
    for word in (commandline -opc)[2..-1]
        if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end

function __kmi_commands --description 'every command and what it is for, in the configured language'
    command kmi help 2>/dev/null | string replace -fr '^  ([a-z][a-z0-9-]*)  +(.*)$' '$1\t$2'
end

# Only of our commands: a stranger's may do something else with --help, and kimi hands it on.
function __kmi_usage --description 'what a command says of itself'
    if test "$argv[1]" != kimi; and __kmi_commands | string match -qr -- "^"(string escape --style=regex -- $argv[1])"\t"
        KMI_LOCALE=en command kmi $argv[1] --help 2>/dev/null </dev/null
    end
end

# cat: inside a function, fish's string does not look at stdin by itself.
function __kmi_flags --description 'the flags in a usage text on stdin'
    cat | string match -r '^(?:usage: |  ).*' | string match -arg -- '(?<![a-zA-Z0-9-])(--[a-z][a-z0-9_-]*)' | sort -u
end

function __kmi_strings --description 'the strings of a JSON member on stdin'
    cat | string match -arg -- "\"$argv[1]\": \"([^\"\\\\]+)\""
end

function __kmi_labels
    command kmi keys --json 2>/dev/null | __kmi_strings label
end

function __kmi_arguments --description 'what may follow the command'
    set -l name (__kmi_command)
    set -l before (commandline -opc)[-1]
    if string match -q -- '--?*' $before
        switch (__kmi_usage $name | string match -rg -- (string escape --style=regex -- $before)'[ =]([A-Z]+)')[1]
            case LABEL
                __kmi_labels
                return
            case FILE DIR PATH
                __fish_complete_path (commandline -ct)
                return
            case '?*'
                return
        end
    end
    switch "$name"
        case help
            __kmi_commands
        case config
            command kmi config --json 2>/dev/null | __kmi_strings name
        case unlock
            __kmi_labels
        case rotate
            printf '%s\n' auto off
        case proxy
            printf '%s\n' install uninstall
        case kimi
            __fish_complete_path (commandline -ct)
    end
end

function __kmi_offer_flags
    set -l name (__kmi_command)
    if test -z "$name"
        KMI_LOCALE=en command kmi help 2>/dev/null | __kmi_flags
    else
        __kmi_usage $name | __kmi_flags
    end
end

complete -c kmi -f
complete -c kmi -n 'test -z "$(__kmi_command)"' -a '(__kmi_commands)'
complete -c kmi -n 'string match -q -- "-*" (commandline -ct)' -a '(__kmi_offer_flags)'
complete -c kmi -n 'test -n "$(__kmi_command)"' -a '(__kmi_arguments)'
