# fish completion for lunar; `lunar completions fish` prints it.
function __lunar_offers
    set -l offers (command lunar complete fish (commandline -cp | string collect) 2>/dev/null)
    if set -q offers[1]
        printf '%s\n' $offers
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c lunar -f -a '(__lunar_offers)'
