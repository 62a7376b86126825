# SPDX-License-Identifier: BSD-2-Clause
# nginx: serves files, and is a proxy, with its kqueue module.
# shellcheck shell=sh
. ./common.sh
unpack nginx
nginx=$WORK/nginx/objs/nginx

# On a BSD it includes <sys/event.h> by itself; on Linux it is built with its epoll module, too, which leaves one name out
# where there is kqueue.
build() {
	cd "$WORK/nginx" || return
	./configure --without-http_rewrite_module --without-http_gzip_module \
	    --with-cc-opt="-O1 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -include sys/event.h -DNGX_EXCLUSIVE_EVENT=EPOLLEXCLUSIVE $KQ_CFLAGS" \
	    --with-ld-opt="$KQ_LIBS" &&
	    grep -w NGX_HAVE_KQUEUE objs/ngx_auto_config.h && make -j "$JOBS"
}

check "builds with its kqueue module" eval "(build)"
for prefix in / /proxy/; do
	serves nginx --reload --prefix "$prefix" "$([ "$prefix" = / ] && echo --files || echo --post)" -- \
	    "$nginx" -e @DIR@/error.log -p @DIR@ -c @CONF@
done
finish
