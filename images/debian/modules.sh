# Read by both inits. Loads every module of a folder, in the order of their names (NN-module_name.ko).

# Parameters of module $1 on the kernel's command line, which only modprobe would look up.
module_parameters() {
	for word in $cmdline; do
		case $word in
		"$1".*) echo "${word#*.}" ;;
		esac
	done
}

load_modules() {
	read -r cmdline </proc/cmdline
	for file in "$1"/*.ko; do
		[ -e "$file" ] || return 0
		module=${file##*/}
		module=${module#*-}
		module=${module%.ko}
		case " $cmdline" in
		*" $module."*) parameters=$(module_parameters "$module") ;;
		*) parameters= ;;
		esac
		# shellcheck disable=SC2086 # one word a parameter
		error=$(insmod "$file" $parameters 2>&1) && continue
		case $error in
		# A driver for hardware that this guest has not (crc32c_intel), or built in under another name.
		*"No such device"* | *"File exists"*) ;;
		*) fail "cannot load the module $module: $error" ;;
		esac
	done
}
