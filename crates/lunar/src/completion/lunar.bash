# bash completion for lunar; `lunar completions bash` prints it.
_lunar() {
    local cursor=${COMP_WORDS[COMP_CWORD]}
    # bash ends words at = and :, and completes only what follows.
    [[ $cursor == [=:]* ]] && cursor=${cursor:1}
    mapfile -t COMPREPLY < <("$1" complete bash "${COMP_LINE:0:COMP_POINT}" "$cursor" 2>/dev/null)
}
complete -o nospace -o default -F _lunar lunar
